"""Runs of an earlier version, finished by this one and beside it."""

import io
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from support.clients import accepted_run, http_client
from support.feed import Feed
from support.processes import Process
from support.stack import Stack, events, url_once_ready

ROOT = Path(__file__).parents[2]
#: The last commit in which `worker` was one brick and the store's Lua one file. Its code runs with today's libraries.
EARLIER = "0e4e1bf079db3ed2aecadd4895aef535022a67ce"
#: A commit that reads and does jobs of wire format 5, and begins none: docs/upgrading.md asks for such a version everywhere
#: before the first run of format 5 begins.
READING_5 = "6fdedd9c7dbdfb99f5e103e42f8652028bd3ac90"

pytestmark = [pytest.mark.long]


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a process needs to run the earlier version."""
    return unpacked(EARLIER, tmp_path_factory.mktemp("earlier"))


@pytest.fixture(scope="module")
def reading_5(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a process needs to run a version that reads format 5."""
    return unpacked(READING_5, tmp_path_factory.mktemp("reading_5"))


def unpacked(commit: str, folder: Path) -> dict[str, str]:
    """What a process needs to run the code of this commit, which is put into the folder."""
    archive = subprocess.run(
        ["git", "archive", commit, "components", "bases"], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode:
        pytest.skip("the history of this checkout does not hold the earlier version")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    found = {"PYTHONPATH": f"{folder}/components:{folder}/bases"}
    proof = "import mousetrap.worker as it; print(it.__file__)"
    where = subprocess.check_output([sys.executable, "-c", proof], env={**os.environ, **found}, text=True)
    assert where.startswith(str(folder))
    return found


def serving(worker: Process) -> Process:
    worker.wait_for_line("serving ")
    return worker


def ended(worker: Process) -> None:
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0


def submitted_to(api: Process, feed: Feed) -> str:
    """The id of a run that this API accepted."""
    with http_client(url_once_ready(api)) as client:
        return accepted_run(client, "/pipelines/earthquakes/runs", {"url": feed.url})


def test_a_run_that_the_earlier_version_began_is_finished_by_this_one(
    stack: Stack, feed: Feed, earlier: dict[str, str]
) -> None:
    run_id = submitted_to(stack.start("api", **earlier), feed)
    old = serving(stack.start("fetch_worker", **earlier))
    stack.until_event(run_id, "finished", "fetch")
    ended(old)

    serving(stack.start("process_worker"))
    run = stack.completed(run_id)
    assert [len(events(run, "finished", stage)) for stage in ("fetch", "process")] == [1, 1]


def test_a_run_of_format_5_is_finished_by_a_version_that_begins_none(
    stack: Stack, reading_5: dict[str, str]
) -> None:
    run_id = stack.submit()
    new = serving(stack.start("fetch_worker"))
    stack.until_event(run_id, "finished", "fetch")
    ended(new)

    serving(stack.start("process_worker", **reading_5))
    run = stack.completed(run_id)
    assert [len(events(run, "finished", stage)) for stage in ("fetch", "process")] == [1, 1]


def test_a_run_of_format_2_is_finished_by_a_version_that_begins_runs_of_format_5(
    stack: Stack, feed: Feed, reading_5: dict[str, str]
) -> None:
    run_id = submitted_to(stack.start("api", **reading_5), feed)
    old = serving(stack.start("fetch_worker", **reading_5))
    stack.until_event(run_id, "finished", "fetch")
    ended(old)

    serving(stack.start("process_worker"))
    run = stack.completed(run_id)
    assert [len(events(run, "finished", stage)) for stage in ("fetch", "process")] == [1, 1]


def test_versions_that_begin_runs_of_format_2_and_of_5_work_side_by_side(
    stack: Stack, feed: Feed, reading_5: dict[str, str]
) -> None:
    old_api = stack.start("api", **reading_5)
    workers = [
        stack.start(base, **version)
        for base in ("fetch_worker", "process_worker")
        for version in (reading_5, {})
    ]
    run_ids = [run_id for _ in range(10) for run_id in (stack.submit(), submitted_to(old_api, feed))]

    for run_id in run_ids:
        run = stack.completed(run_id)
        assert len(events(run, "finished", "process")) == 1
    for worker in workers:
        ended(serving(worker))
