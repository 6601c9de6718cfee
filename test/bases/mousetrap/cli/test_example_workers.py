"""Tests that one process serves both workers of the example."""

import subprocess
from pathlib import Path

import pytest

from support.processes import base_command, clean_environment

pytestmark = pytest.mark.slow


def test_a_worker_in_burst_serves_several_stages_and_leaves_when_nothing_waits(
    tmp_path: Path, store_url: str
) -> None:
    done = subprocess.run(
        base_command("cli", "worker", "fetch", "process", "--burst", "--concurrency", "2", "--prefetch", "3"),
        env=clean_environment(MOUSETRAP_BROKER_URL=store_url, MOUSETRAP_STORE_URL=store_url),
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    queues = "data_processing, feeds_compare, feeds_count, feeds_fetch, feeds_list, feeds_report, start_fetch"
    assert f"serving {queues}" in done.stderr
