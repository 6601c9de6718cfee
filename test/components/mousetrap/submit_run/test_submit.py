"""A run is accepted once it is kept, and not before."""

import math

import msgspec
import pytest

from mousetrap.jobs import Message, QueueFull, QueueUnreachable
from mousetrap.pipeline import ContractBroken
from mousetrap.run_store import RunConflict, open_store
from mousetrap.shapes import RunState
from mousetrap.submit_run import SubmitOptions, new_run_id, run_id_of_key, submit_run
from support.inbox import eventually
from support.ports import closed_port
from support.workbench import KEYRING, Workbench, a_pipeline, add, double, on_streams


@on_streams
async def test_an_accepted_run_is_recorded_and_its_first_job_is_in_the_queue(bench: Workbench) -> None:
    accepted = await bench.submitter.submit(bench.pipeline, b"1", run_id="r1")

    assert accepted == ("r1", True)
    await eventually(lambda: bench.queue.count_ready(bench.queue_of("add")), 1)
    run = await bench.store.get("r1")
    assert run is not None
    assert run.state == RunState.QUEUED


@pytest.mark.parametrize("body", [b'"one"', b"{", b"", b"1.5"])
@on_streams
async def test_a_body_that_the_pipeline_does_not_take_leaves_no_trace(bench: Workbench, body: bytes) -> None:
    with pytest.raises(ContractBroken):
        await bench.submit(body, run_id="r1")

    assert await bench.store.get("r1") is None
    assert await bench.queue.count_ready(bench.queue_of("add")) == 0


@pytest.mark.parametrize("run_id", ["", "a b", "a/b", "x" * 65, "ä"])
@on_streams
async def test_an_id_that_a_url_or_a_key_could_misread_is_refused(bench: Workbench, run_id: str) -> None:
    with pytest.raises(ValueError, match="1 to 64 letters"):
        await bench.submitter.submit(bench.pipeline, b"1", run_id=run_id)


@pytest.mark.parametrize("expires_in", [float("nan"), float("inf"), 10**400, 0, -1.0])
@on_streams
async def test_a_time_to_expire_that_is_no_span_is_refused_and_leaves_no_trace(
    bench: Workbench, expires_in: float
) -> None:
    with pytest.raises(ValueError, match="expires_in is"):
        options = SubmitOptions(expires_in=expires_in)
        await bench.submitter.submit(bench.pipeline, b"1", run_id="r1", options=options)

    assert await bench.store.get("r1") is None


class WithNaN(msgspec.Struct):
    """Its default has no JSON form."""

    limit: float | None = math.nan


@pytest.mark.stages(input=WithNaN, output=WithNaN)
@on_streams
async def test_an_input_whose_default_json_does_not_have_is_refused(bench: Workbench) -> None:
    with pytest.raises(ContractBroken, match=r"nan is no JSON number \(at \$.limit\)"):
        await bench.submit(b"", run_id="r1")

    assert await bench.store.get("r1") is None


@on_streams
async def test_a_repeat_returns_the_first_run_however_far_it_is(bench: Workbench) -> None:
    await bench.submit(b"1", run_id="r1")
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        await bench.ended("r1")

        again = await bench.submitter.submit(bench.pipeline, b" 1 ", run_id="r1")

    assert again == ("r1", False)
    assert (await bench.ended("r1")).result == 4
    assert await bench.queue.count_ready(bench.queue_of("add")) == 0
    with pytest.raises(RunConflict):
        await bench.submit(b"2", run_id="r1")


@on_streams
async def test_a_repeat_of_what_was_recorded_and_never_published_publishes_it(bench: Workbench) -> None:
    await bench.store.open_run("r1", bench.pipeline.name, "add", b"1")  # and its submitter dies here

    again = await bench.submitter.submit(bench.pipeline, b"1", run_id="r1")

    assert again == ("r1", False)
    await eventually(lambda: bench.queue.count_ready(bench.queue_of("add")), 1)


@on_streams
async def test_a_run_that_the_broker_did_not_take_is_not_accepted_and_can_be_repeated(
    bench: Workbench,
) -> None:
    class Full:
        """A queue that refuses, as one at its length limit does."""

        async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
            raise QueueFull(f"queue {queue} is full: try again later")

    with pytest.raises(QueueFull):
        await submit_run(bench.store, Full(), KEYRING, bench.pipeline, b"1", run_id="r1")

    run = await bench.store.get("r1")
    assert run is not None
    assert run.state == RunState.REJECTED
    assert run.timeline[-1].failure is not None
    assert run.timeline[-1].failure.kind == "QueueFull"

    assert await bench.submitter.submit(bench.pipeline, b"1", run_id="r1") == (
        "r1",
        True,
    )
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        assert (await bench.ended("r1")).result == 4


async def test_a_broker_that_is_away_is_an_error_soon_and_the_run_is_not_accepted(store_url: str) -> None:
    from mousetrap.job_queue import QueueOptions, connect

    pipeline = a_pipeline()
    away = f"amqp://guest:sesame@127.0.0.1:{closed_port()}/"
    async with (
        connect(away, [pipeline.first.queue], name="t", options=QueueOptions(confirm_deadline=0.2)) as queue,
        open_store(store_url, retention=3600) as store,
    ):
        with pytest.raises(QueueUnreachable) as unreachable:
            await submit_run(store, queue, KEYRING, pipeline, b"1", run_id="r1")
        run = await store.get("r1")

    assert "sesame" not in str(unreachable.value)
    assert run is not None
    assert run.state == RunState.REJECTED


def test_new_ids_sort_by_time_and_differ_by_chance() -> None:
    early, late = new_run_id(1, b"z" * 10), new_run_id(1_800_000_000_000, b"a" * 10)

    assert early < late
    assert len(early) == len(late) == 32
    assert new_run_id(5, b"a" * 10) != new_run_id(5, b"b" * 10)


def test_a_key_names_one_run_of_one_owner_and_pipeline() -> None:
    assert run_id_of_key("me", "sums", "k") == run_id_of_key("me", "sums", "k")
    ids = {
        run_id_of_key(*of)
        for of in [("me", "sums", "k"), ("you", "sums", "k"), ("me", "products", "k"), ("me", "sums", "l")]
    }
    assert len(ids) == 4
