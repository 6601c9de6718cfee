"""Runs of a dead submitter are published by the next one."""

from contextlib import suppress

import pytest
from redis import Redis

from mousetrap.jobs import Message, MousetrapError, PublishUnconfirmed, Queue, QueueFull, Unroutable
from mousetrap.run_store import Terms
from mousetrap.run_store.keys import packed_run_key
from mousetrap.shapes import RunState
from mousetrap.submit_run import Submitter
from support.inbox import eventually
from support.valkey import administrator
from support.workbench import KEYRING, Workbench, add, double, on_streams


@on_streams
async def test_a_run_that_was_recorded_and_never_published_goes_through(bench: Workbench) -> None:
    await bench.store.open_run("r1", bench.pipeline.name, "add", b"20")  # and its submitter dies here

    assert await bench.submitter.republish(age=0.0) == 1

    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        run = await bench.ended("r1")
    assert (run.state, run.result) == (RunState.COMPLETED, 42)
    assert await bench.submitter.republish(age=0.0) == 0


class Closed:
    """A real queue of which one name takes nothing."""

    def __init__(self, inner: Queue, closed: str, error: MousetrapError) -> None:
        self._inner, self._closed, self._error = inner, closed, error
        self.refused = 0

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        if queue == self._closed:
            self.refused += 1
            raise self._error
        await self._inner.publish(queue, message, after=after)


@pytest.mark.parametrize("error", [QueueFull("full"), PublishUnconfirmed("late"), Unroutable("gone")])
@on_streams
async def test_runs_that_cannot_be_published_hold_up_no_others(
    bench: Workbench, error: MousetrapError
) -> None:
    for number in range(130):
        await bench.store.open_run(f"r{number}", bench.pipeline.name, "add", b"20")
    await bench.store.open_run("last", bench.pipeline.name, "double", b"20")
    queue = Closed(bench.queue, bench.queue_of("add"), error)
    submitter = Submitter(bench.store, queue, KEYRING, {bench.pipeline.name: bench.pipeline})

    with pytest.raises(type(error)):
        await submitter.republish(age=0.0)

    await eventually(lambda: bench.queue.count_ready(bench.queue_of("double")), 1)
    assert queue.refused == 1, "a queue that takes none is asked once in a round"


@pytest.mark.parametrize("record", [b"Qgarbage", b"Q\xff\xfe\n"])
@on_streams
async def test_a_run_whose_record_cannot_be_read_holds_up_no_others(
    bench: Workbench, store_url: str, record: bytes
) -> None:
    for run_id in ("r1", "r2"):
        await bench.store.open_run(run_id, bench.pipeline.name, "add", b"20")
    with Redis.from_url(administrator(store_url)) as client:
        client.set(packed_run_key("r1"), record)

    assert await bench.submitter.republish(age=0.0) == 1

    assert (await bench.store.unpublished(age=0.0)).run_ids == []
    with Redis.from_url(administrator(store_url)) as client:
        assert client.get(packed_run_key("r1")) == record


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
