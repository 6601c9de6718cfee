"""Repeats a submission after an upgrade, and after the way back."""

import pytest

from mousetrap.run_store import RunConflict
from mousetrap.submit_run import Submission
from support.inbox import eventually
from support.workbench import Workbench, add, double, on_streams

#: The wire format of the version that accepts a run first, and of the one that is asked again.
VERSIONS = pytest.mark.parametrize(("first", "then"), [(2, 5), (5, 2)], ids=["upgrade", "way back"])


@pytest.fixture
def version(monkeypatch: pytest.MonkeyPatch) -> "Version":
    return Version(monkeypatch)


class Version:
    """Sets the wire format of the runs that are begun."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def becomes(self, wire_format: int) -> None:
        self._patch.setattr("mousetrap.jobs.job.NEW_RUNS", wire_format)


@VERSIONS
@on_streams
async def test_a_repeat_finds_the_run_of_the_other_version(
    bench: Workbench, version: Version, first: int, then: int
) -> None:
    begun: list[int] = []

    async def count(value: int) -> int:
        begun.append(value)
        return value + 1

    version.becomes(first)
    async with bench.working(bench.bind("add", count), bench.bind("double", double)):
        await bench.submitter.submit(bench.pipeline, b"1", run_id="r1")
        run = await bench.ended("r1")
        version.becomes(then)

        repeated = await bench.submitter.submit(bench.pipeline, b"1", run_id="r1")
        again = await bench.submitter.submit_many(
            [Submission(bench.pipeline, b"1", "r1"), Submission(bench.pipeline, b"2", "r2")]
        )
        await bench.ended("r2")

    assert repeated == ("r1", False)
    assert again == [("r1", False), ("r2", True)]
    assert begun == [1, 2]
    assert await bench.store.get("r1") == run


@VERSIONS
@on_streams
async def test_another_input_under_its_id_is_refused(
    bench: Workbench, version: Version, first: int, then: int
) -> None:
    version.becomes(first)
    await bench.submitter.submit(bench.pipeline, b"1", run_id="r1")
    version.becomes(then)

    with pytest.raises(RunConflict):
        await bench.submitter.submit(bench.pipeline, b"2", run_id="r1")

    await eventually(lambda: bench.queue.count_ready(bench.queue_of("add")), 1)


@VERSIONS
@on_streams
async def test_a_run_whose_submitter_died_is_published_as_the_kind_that_it_is(
    bench: Workbench, version: Version, first: int, then: int
) -> None:
    version.becomes(first)
    opened = await bench.store.open_run("r1", bench.pipeline.name, "add", b"1")
    version.becomes(then)

    repeated = await bench.submitter.submit(bench.pipeline, b"1", run_id="r1")
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        run = await bench.ended("r1")

    assert repeated == ("r1", False)
    assert (run.result, run.accepted_ms) == (4, opened.accepted_ms)
    assert [event.kind for event in run.timeline].count("started") == 2
    assert await bench.submitter.republish(age=0.0) == 0
