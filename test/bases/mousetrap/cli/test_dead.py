"""The commands for repair, over a real API."""

import asyncio
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mousetrap.earthquakes import EARTHQUAKES
from mousetrap.job_queue import connect
from mousetrap.jobs import Message, dead_queue, decode, encode, first_job
from support.workbench import just_now_ms

QUEUE = "start_fetch"
FEED = '{"url": "https://example.org/feed"}'

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def mousetrap(
    mousetrap: Callable[..., tuple[int, str, str]],
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Command:
    """Runs a command in this process, against an API that has no workers."""
    settings = {"COLUMNS": "80", "MOUSETRAP_API_URL": url}
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode()), "utf-8"))
        return subprocess.CompletedProcess(arguments, *mousetrap(*arguments, settings=settings))

    return run


def bury(store_url: str, *run_ids: str, reason: str = "max-retries") -> list[str]:
    """A dead letter of each run; the letters' ids."""
    jobs = [
        first_job(
            run_id=run_id,
            pipeline=EARTHQUAKES.name,
            stage="fetch",
            payload=FEED.encode(),
            accepted_ms=just_now_ms(),
        )
        for run_id in run_ids
    ]
    story = {"reason": reason, "error-type": "Broken", "error": "no", "traceback": "Traceback: here"}
    headers = {f"mousetrap-{name}": text for name, text in story.items()}

    async def publish() -> None:
        async with connect(store_url, [QUEUE], name="test") as queue:
            for job in jobs:
                await queue.publish(dead_queue(QUEUE), Message(job.id, encode(job), headers))

    asyncio.run(publish())
    return [job.id for job in jobs]


def waiting(store_url: str) -> int:
    """How many jobs wait in the queue of the letters."""

    async def count() -> int:
        async with connect(store_url, [QUEUE], name="test") as queue:
            return await queue.count_ready(QUEUE)

    return asyncio.run(count())


def test_letters_are_listed_counted_and_shown(mousetrap: Command, store_url: str) -> None:
    first, _ = bury(store_url, "r1", "r2")

    listed, groups, shown = (
        mousetrap("dead", "list"),
        mousetrap("dead", "groups"),
        mousetrap("dead", "show", first),
    )

    assert first in listed.stdout and "max-retries Broken: no" in listed.stdout
    assert groups.stdout.splitlines()[-1].split() == ["2", QUEUE, "max-retries", "Broken"]
    for part in ("r1", "Broken: no", "Traceback: here", '"url": "https://example.org/feed"'):
        assert part in shown.stdout
    assert max(len(line) for line in (listed.stdout + shown.stdout).splitlines()) <= 80


def test_letters_are_redriven_by_filter_and_what_is_left_is_discarded(
    mousetrap: Command, store_url: str
) -> None:
    bury(store_url, *(f"r{number}" for number in range(7)))
    bury(store_url, "o1", "o2", reason="contract")

    redriven = mousetrap("dead", "redrive", "--reason", "max-retries", "--rate", "1")
    unasked = mousetrap("dead", "discard", "--all")
    discarded = mousetrap("dead", "discard", "--all", "--yes")

    assert redriven.stdout == "7 redriven\n"  # by two requests, for one takes five seconds of the rate
    assert waiting(store_url) == 7
    assert (unasked.returncode, "--yes" in unasked.stderr) == (2, True)
    assert discarded.stdout == "2 discarded\n"
    assert mousetrap("dead", "list").stdout == "no dead letters\n"


def test_one_letter_is_redriven_with_another_input(mousetrap: Command, store_url: str) -> None:
    first, second = bury(store_url, "r1", "r2")

    broken = mousetrap("dead", "redrive", first, "--input", '{"url": 1}')
    edited = mousetrap("dead", "redrive", first, "--input", "-", given=FEED)

    assert (broken.returncode, "at $.url" in broken.stderr) == (2, True)
    assert (edited.returncode, edited.stdout) == (0, "1 redriven\n")
    assert [letter["id"] for letter in json.loads(mousetrap("dead", "list", "--json").stdout)["letters"]] == [
        second
    ]


def test_letters_are_exported_a_line_each(mousetrap: Command, store_url: str) -> None:
    ids = bury(store_url, "r1", "r2")

    lines = mousetrap("dead", "export").stdout.splitlines()

    assert {json.loads(line)["id"] for line in lines} == set(ids)
    job = decode(json.loads(lines[0])["body"].encode())
    assert json.loads(bytes(job.payload)) == json.loads(FEED)


def test_a_letter_that_is_not_there_is_reported(mousetrap: Command) -> None:
    shown, redriven = mousetrap("dead", "show", "unknown"), mousetrap("dead", "redrive", "unknown")

    assert (shown.returncode, redriven.returncode) == (2, 2)
    assert "mousetrap dead list" in shown.stderr and "mousetrap dead list" in redriven.stderr


def test_the_beginning_of_an_id_is_enough_where_no_other_begins_so(
    mousetrap: Command, store_url: str
) -> None:
    for run_id in ("first-one", "first-two", "second"):
        mousetrap("run", "earthquakes", "--id", run_id, "--input", FEED, "--no-follow")
    letters = dict(zip(("second", "o1"), bury(store_url, "second", "o1"), strict=True))
    short = {name: letter[:6] for name, letter in letters.items()}

    assert "first-one" in mousetrap("show", "first-o").stdout
    assert (
        mousetrap("cancel", "first-o", "seco").stdout
        == "run first-one is cancelled\nrun second is cancelled\n"
    )
    assert json.loads(mousetrap("rerun", "first-t", "--no-follow", "--json").stdout)["run_id"]
    for command, short_id, code in (("show", "firs", 2), ("cancel", "first", 2), ("rerun", "first-", 2)):
        done = mousetrap(command, short_id)
        assert "begin with firs" in done.stderr
        assert "first-one, first-two" in done.stderr
        assert done.returncode == code
    for unknown in ("sec", "third"):
        assert mousetrap("show", unknown).stderr.startswith("mousetrap: There is no such run")

    assert letters["o1"] in mousetrap("dead", "show", short["o1"]).stdout
    listed = json.loads(mousetrap("dead", "list", "--run", "seco", "--json").stdout)
    assert [letter["id"] for letter in listed["letters"]] == [letters["second"]]
    assert mousetrap("dead", "discard", "--yes", short["o1"]).stdout == "1 discarded\n"
    assert mousetrap("dead", "redrive", short["o1"]).returncode == 2


def test_the_beginning_of_an_id_means_nothing_among_more_letters_than_are_looked_at(
    mousetrap: Command, store_url: str
) -> None:
    *_, newest = bury(store_url, *(f"r{number}" for number in range(201)))

    begun, whole = (mousetrap("dead", "discard", "--yes", given) for given in (newest[:12], newest))

    assert (begun.returncode, "give all of it" in begun.stderr) == (2, True)
    assert whole.stdout == "1 discarded\n"


def test_runs_are_listed_by_their_state(mousetrap: Command) -> None:
    for run_id in ("waits", "ended"):
        mousetrap("run", "earthquakes", "--id", run_id, "--input", FEED, "--no-follow")
    mousetrap("cancel", "ended")

    cancelled = json.loads(mousetrap("runs", "--state", "cancelled", "--json").stdout)
    unknown = mousetrap("runs", "--state", "asleep")

    assert [run["id"] for run in cancelled["runs"]] == ["ended"]
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "state" in unknown.stderr


def test_the_id_that_begins_as_an_option_is_shown_as_it_is_listed(mousetrap: Command) -> None:
    started = mousetrap("run", "earthquakes", "--id", "-x", "--input", FEED, "--no-follow")

    assert started.stdout == "accepted as run -x: `mousetrap show -- -x`\n"
    assert "earthquakes" in mousetrap("show", "--", "-x").stdout


def test_runs_are_cancelled_and_repeated(mousetrap: Command) -> None:
    mousetrap("run", "earthquakes", "--id", "mine", "--input", FEED, "--no-follow", "--expires-in", "5m")

    cancelled = mousetrap("cancel", "mine", "unknown")
    again = mousetrap("rerun", "mine", "--no-follow", "--json")
    repeated = mousetrap("show", json.loads(again.stdout)["run_id"])
    impossible = mousetrap("rerun", "mine", "--from", "failed")

    assert (cancelled.returncode, cancelled.stdout) == (2, "run mine is cancelled\n")
    assert "run unknown: There is no such run" in cancelled.stderr
    assert "cancelled" in mousetrap("show", "mine…").stdout  # as a narrow table cuts it
    assert "repeats   mine" in repeated.stdout
    assert (impossible.returncode, "has not failed" in impossible.stderr) == (2, True)


def test_jobs_of_a_run_are_listed(mousetrap: Command) -> None:
    mousetrap("run", "earthquakes", "--id", "first-one", "--input", FEED, "--no-follow")

    listed = mousetrap("jobs", "first-o", "--stage", "fetch")
    none = mousetrap("jobs", "first-one", "--state", "failed")
    wrong = mousetrap("jobs", "first-one", "--stage", "read")
    (job,) = json.loads(mousetrap("jobs", "first-one", "--json").stdout)["jobs"]

    assert listed.stdout.splitlines()[-1].split() == [f"{job['id'][:11]}…", "fetch", "queued"]
    assert none.stdout == "no job matches\n"
    assert (wrong.returncode, "it has fetch, process" in wrong.stderr) == (2, True)
