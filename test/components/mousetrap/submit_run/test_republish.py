"""Runs of a dead submitter are published by the next one."""

from contextlib import suppress

from mousetrap.run_store import Terms
from mousetrap.shapes import RunState
from mousetrap.submit_run import Submitter
from support.workbench import KEYRING, Workbench, add, double, on_streams


@on_streams
async def test_a_run_that_was_recorded_and_never_published_goes_through(bench: Workbench) -> None:
    await bench.store.open_run("r1", bench.pipeline.name, "add", b"20")  # and its submitter dies here

    assert await bench.submitter.republish(age=0.0) == 1

    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        run = await bench.ended("r1")
    assert (run.state, run.result) == (RunState.COMPLETED, 42)
    assert await bench.submitter.republish(age=0.0) == 0


@on_streams
async def test_a_run_whose_submitter_died_after_publishing_is_done_once_all_the_same(
    bench: Workbench,
) -> None:
    class Died(BaseException):
        """What the submitter does, once its job is with the broker."""

    class Unlucky:
        """The real store, until the moment."""

        open_run = bench.store.open_run
        payloads = bench.store.payloads

        def mark_published(self, run_id: str) -> None:
            raise Died

    with suppress(Died):
        submitter = Submitter(Unlucky(), bench.queue, KEYRING, {})  # type: ignore[arg-type]
        await submitter.submit(bench.pipeline, b"20", run_id="r1")
    assert await bench.submitter.republish(age=0.0) == 1
    done: list[int] = []

    def note(number: int) -> int:
        done.append(number)
        return number

    async with bench.working(bench.bind("add", note), bench.bind("double", double)):
        assert (await bench.ended("r1")).result == 40
        await bench.ended(await bench.submit(b"1"))

    assert done == [20, 1]


@on_streams
async def test_a_run_whose_time_was_over_before_it_was_published_is_not_begun(bench: Workbench) -> None:
    await bench.store.open_run("r1", bench.pipeline.name, "add", b"20", terms=Terms(expires_in=0.001))
    assert await bench.submitter.republish(age=0.0) == 1

    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        run = await bench.ended("r1")

    assert [event.kind for event in run.timeline] == ["accepted", "expired"]


@on_streams
async def test_runs_that_are_just_being_submitted_are_left_alone(bench: Workbench) -> None:
    await bench.store.open_run("r1", bench.pipeline.name, "add", b"20")

    assert await bench.submitter.republish() == 0


@on_streams
async def test_a_run_of_a_pipeline_that_is_not_ours_is_left_to_those_who_know_it(bench: Workbench) -> None:
    await bench.store.open_run("r1", bench.pipeline.name, "add", b"20")

    assert await Submitter(bench.store, bench.queue, KEYRING, {}).republish(age=0.0) == 0
    assert (await bench.store.unpublished(age=0.0)).run_ids == ["r1"]
