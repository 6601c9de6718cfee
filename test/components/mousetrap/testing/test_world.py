"""Tests in a world: real workers, simulated servers and time."""

import asyncio
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from mousetrap.handlers import Binding, Context
from mousetrap.jobs import QueueUnreachable, StoreUnreachable
from mousetrap.pipeline import ContractBroken, Pipeline, Stage
from mousetrap.retry import Outage, RetryPolicy
from mousetrap.testing import Flaky, NotCompleted, World
from mousetrap.testing.simulation.world_simulation import POINTS


class Query(msgspec.Struct, frozen=True):
    minimum: float
    place: dict[str, str] = {}


FETCH = Stage(name="fetch", queue="fetching", input=Query, output=list[int], retry=RetryPolicy(base=60.0))
ADD = Stage(name="add", queue="adding", input=list[int], output=int)
PIPELINE = Pipeline(name="earthquakes", description="Two stages.", stages=(FETCH, ADD))


@pytest.fixture(params=[2, 5], autouse=True)
def new_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of either kind: what a world does is the same for both."""
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", request.param)


async def fetch(query: Query) -> list[int]:
    return [1, 2]


def add(numbers: list[int]) -> int:
    return sum(numbers)


FETCHING = Binding(pipeline=PIPELINE, stage=FETCH, handler=fetch)
ADDING = Binding(pipeline=PIPELINE, stage=ADD, handler=add)


async def test_a_feed_that_is_away_is_tried_again(world: World) -> None:
    world.serve(FETCHING, ADDING, handlers={"fetch": Flaky(fails=2, then=[4, 5])})
    run = await world.submit("earthquakes", {"minimum": 4.5})

    await world.settle()

    assert run.state == "completed" and run.attempts("fetch") == 3
    assert run.result == 9
    assert world.submitted("earthquakes", input__minimum=4.5)
    assert world.not_submitted("earthquakes", input__minimum=5)
    await world.advance(days=1)
    assert world.dead() == []
    assert world.time > 86_400


async def test_a_run_that_fails_raises_its_handlers_error_with_its_timeline(world: World) -> None:
    error = OSError("no network")
    world.serve(FETCHING, handler=Flaky(fails=99, error=error))
    run = await world.submit(PIPELINE, Query(1.0))

    await world.settle()

    assert run.state == "failed"
    assert [(letter.reason, letter.error, letter.attempts) for letter in world.dead()] == [
        ("max-retries", "no network", 5)
    ]
    with pytest.raises(OSError, match="no network") as raised:
        _ = run.result
    assert raised.value is error
    assert "gave_up fetch #5 OSError: no network" in raised.value.__notes__[0]


async def test_a_wait_that_does_not_end_raises_the_handlers_error(world: World) -> None:
    world.serve(FETCHING, handler=Flaky(fails=99, error=Outage("it is away")))
    await world.submit(PIPELINE, Query(1.0))

    with pytest.raises(Outage, match="it is away") as raised:
        await world.settle(within=3600)

    assert "not settled within 3600 s" in raised.value.__notes__[0]
    assert world.time == pytest.approx(3600, abs=1)


async def test_a_message_that_no_worker_serves_is_an_error_at_once(world: World) -> None:
    world.serve(FETCHING)
    run = await world.submit(PIPELINE, Query(1.0))

    with pytest.raises(NotCompleted, match="no worker serves adding"):
        await world.settle()

    with pytest.raises(NotCompleted, match="run-1 is queued and has no result"):
        _ = run.result
    world.serve(ADDING)
    await world.settle()
    assert run.result == 3


async def test_a_sync_handler_runs_in_a_thread_and_takes_no_simulated_time(world: World) -> None:
    def slow(numbers: list[int]) -> int:
        threads.append(threading.current_thread())
        threading.Event().wait(0.05)
        return asyncio.run(asyncio.sleep(0, 7))

    threads: list[threading.Thread] = []
    world.serve(FETCHING, ADDING, handlers={"add": slow})
    run = await world.submit(PIPELINE, Query(1.0))
    await world.settle()

    assert run.result == 7
    assert threads[0] is not threading.current_thread()
    assert world.time < 0.05


async def test_work_in_the_loops_own_threads_takes_no_simulated_time(world: World) -> None:
    async def slow(numbers: list[int]) -> int:
        await asyncio.to_thread(threading.Event().wait, 0.05)
        return 7

    world.serve(FETCHING, ADDING, handlers={"add": slow})
    run = await world.submit(PIPELINE, Query(1.0))
    await world.settle()

    assert run.result == 7
    assert world.time < 0.05


async def test_a_sync_generator_in_a_thread_has_its_values_kept(world: World) -> None:
    def slow(numbers: list[int]) -> Generator[int, None, int]:
        for number in numbers:
            threading.Event().wait(0.01)
            yield number
        return 7

    world.serve(FETCHING, Binding(pipeline=PIPELINE, stage=ADD, handler=slow))
    run = await world.submit(PIPELINE, Query(1.0))
    await world.settle()

    assert [event.value for event in run.timeline if event.value is not None] == [1, 2]
    assert run.result == 7
    assert world.time < 0.5


@pytest.mark.parametrize("at", POINTS)
async def test_a_worker_killed_at_any_point_costs_no_run(world: World, at: str) -> None:
    world.serve(FETCHING, ADDING)
    world.kill_worker(at=at)
    run = await world.submit(PIPELINE, Query(1.0))

    await world.settle()

    assert run.result == 3
    assert "dies" in world.log()
    # Killed later, a worker had recorded or published its outcome or neither, and had begun the next job or not.
    attempts = {"before_claim": [2], "after_claim": [3]}
    assert run.attempts() in attempts.get(at, [2, 3])


async def test_a_worker_killed_now_is_started_again(world: World) -> None:
    world.serve(FETCHING, ADDING)
    await world.advance(seconds=1)
    world.kill_worker()
    run = await world.submit(PIPELINE, Query(1.0))
    await world.settle()
    assert run.result == 3


async def test_a_broker_that_is_away_refuses_a_run_and_loses_none(world: World) -> None:
    world.serve(FETCHING, ADDING, handlers={"fetch": _slow})
    run = await world.submit(PIPELINE, Query(1.0))
    await world.advance(seconds=1)
    world.broker.away(seconds=30)

    with pytest.raises(QueueUnreachable):
        await world.submit(PIPELINE, Query(1.0))
    await world.settle()

    assert run.result == 3
    assert world.time > 30


async def test_a_store_that_is_away_costs_no_run(world: World) -> None:
    world.serve(FETCHING, ADDING, handlers={"fetch": _slow})
    run = await world.submit(PIPELINE, Query(1.0))
    await world.advance(seconds=1)
    world.store.away(seconds=30)
    await world.settle()
    assert run.result == 3


async def _slow(query: Query) -> list[int]:
    await asyncio.sleep(5)
    return [1, 2]


async def test_a_cancelled_run_stops_its_handler(world: World) -> None:
    stopped: list[Query] = []

    async def slow(query: Query) -> list[int]:
        try:
            return await _slow(query)
        except asyncio.CancelledError:
            stopped.append(query)
            raise

    world.serve(FETCHING, handler=slow)
    run = await world.submit(PIPELINE, Query(1.0))
    await world.advance(seconds=1)

    assert await run.cancel() == "cancelled"
    await world.settle()

    assert (run.state, stopped) == ("cancelled", [Query(1.0)])
    with pytest.raises(NotCompleted, match="is cancelled"):
        _ = run.result


async def test_a_dead_letter_is_redriven_after_the_repair(world: World) -> None:
    flaky = Flaky(fails=5, then=[3])
    world.serve(FETCHING, ADDING, handlers={"fetch": flaky})
    run = await world.submit(PIPELINE, Query(1.0))
    await world.settle()
    assert run.state == "failed"

    repaired = await world.redrive()
    await world.settle()

    assert (repaired.done, run.state, world.dead()) == (1, "completed", [])


async def test_deps_replace_what_the_lifespan_gives(world: World) -> None:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[list[int]]:
        raise AssertionError("it is not entered")
        yield []

    async def get(query: Query, context: Context[list[int]]) -> list[int]:
        return context.deps

    world.serve(Binding(pipeline=PIPELINE, stage=FETCH, handler=get, lifespan=lifespan), ADDING, deps=[5])
    run = await world.submit(PIPELINE, Query(1.0))
    await world.settle()
    assert run.result == 5


async def test_a_lifespan_that_raises_fails_the_next_wait(world: World) -> None:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        raise LookupError("no such setting")
        yield

    world.serve(Binding(pipeline=PIPELINE, stage=FETCH, handler=fetch, lifespan=lifespan))
    await world.submit(PIPELINE, Query(1.0))
    with pytest.raises(LookupError, match="no such setting"):
        await world.settle()


async def test_a_run_that_expires_before_its_next_job_has_no_result(world: World) -> None:
    world.serve(FETCHING, handler=Flaky(fails=3))
    run = await world.submit(PIPELINE, Query(1.0), expires_in=10)
    await world.settle()
    assert run.state == "expired"


async def test_mistakes_are_errors_with_the_correction(world: World) -> None:
    with pytest.raises(ValueError, match="there is no pipeline 'earthquakes' in this world; there are: none"):
        await world.submit("earthquakes")
    with pytest.raises(ValueError, match="no worker lives"):
        world.kill_worker()
    with pytest.raises(ValueError, match=r"`handler` is for one stage, and there are 2"):
        world.serve(FETCHING, ADDING, handler=fetch)
    with pytest.raises(ValueError, match="no stage of these is named fetching"):
        world.serve(FETCHING, handlers={"fetching": fetch})
    with pytest.raises(TypeError, match="is no binding, task or chain"):
        world.serve(PIPELINE)  # type: ignore[arg-type]
    world.serve(FETCHING)
    with pytest.raises(ValueError, match="it can at: before_claim, after_claim"):
        world.kill_worker(at="never")
    with pytest.raises(ContractBroken, match=r"\$\.minimum"):
        await world.submit("earthquakes", {"minimum": "much"})
    with pytest.raises(NotCompleted, match="there is no run nothing"):
        world.run("nothing")


def test_two_worlds_do_the_same_at_the_same_time() -> None:
    def log_of_a_world() -> Any:
        world = World()

        async def go() -> Any:
            world.serve(FETCHING, ADDING, handlers={"fetch": Flaky(fails=4, then=[1])})
            await world.submit(PIPELINE, Query(1.0))
            await world.settle()
            return world.log()

        try:
            return world.drive(go())
        finally:
            world.close()

    assert log_of_a_world() == log_of_a_world()


def test_a_world_is_used_by_one_test() -> None:
    world = World()
    world.close()
    with pytest.raises(RuntimeError, match="this world has ended with its test"):
        world.serve(FETCHING)


async def test_a_large_payload_goes_by_reference_through_faults_too(world: World) -> None:
    text = Stage(name="text", queue="texts", input=str, output=str)
    pipeline = Pipeline(name="texts", description="One stage.", stages=(text,))
    world.serve(Binding(pipeline=pipeline, stage=text, handler=lambda value: value + "x"))
    world.kill_worker(at="before_record")
    world.store.away(seconds=30.0)
    with pytest.raises(StoreUnreachable):
        await world.submit(pipeline, "y" * 100_000)
    await world.advance(minutes=1)
    run = await world.submit(pipeline, "y" * 100_000, run_id="large")
    await world.settle()

    assert run.result == "y" * 100_000 + "x"
    assert run.stored.input_reference is not None
    assert run.stored.result_reference is not None
