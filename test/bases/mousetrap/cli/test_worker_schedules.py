"""A schedule in a worker's file fires, and leaves with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.processes import Process
from support.waiting import until

pytestmark = pytest.mark.slow

WORDS = """
from datetime import timedelta
from mousetrap.handlers import task
from mousetrap.schedules import Schedule

@task()
def count(text: str) -> int:
    return len(text.split())
"""
OFTEN = """
often = Schedule("often", pipeline="count", every=timedelta(seconds=1), input="one two")
"""


def test_a_schedule_in_a_worker_s_file_fires_and_is_orphaned_once_it_is_gone(
    api: httpx.Client, start_base: Callable[..., Process], store_url: str, tmp_path: Path
) -> None:
    def start(text: str) -> Process:
        (tmp_path / "words.py").write_text(text)
        servers = {"MOUSETRAP_BROKER_URL": store_url, "MOUSETRAP_STORE_URL": store_url}
        return start_base("cli", "worker", "words.py", **servers)

    def shown() -> dict[str, Any]:
        answer = api.get("/schedules/often")
        return dict(answer.json()) if answer.status_code == 200 else {}

    worker = start(WORDS + OFTEN)
    worker.wait_for_line("found schedule often of count: every second")
    assert until(shown, "it is recorded")["origin"] == "worker"
    completed = {"tag": "schedule:often", "state": "completed"}
    (run, *_) = until(lambda: api.get("/runs", params=completed).json()["runs"], "a run of it has completed")
    assert api.get(f"/runs/{run['id']}").json()["result"] == 2
    assert api.get("/pipelines/count").json()["schedules"] == ["often"]
    assert api.patch("/schedules/often", json={"every": 5}).status_code == 409

    assert worker.terminate(seconds=60) == 0
    start(WORDS).wait_for_line("serving count")
    assert until(lambda: shown()["paused"], "it is paused")["orphaned"]
    assert api.delete("/schedules/often").status_code == 204
