"""Outages of a handler's database: attempts are repeated and do not count."""

import asyncio
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mousetrap.handlers import Context
from mousetrap.jobs import GiveUp, RetryLater
from mousetrap.retry import Outage, RetryPolicy
from mousetrap.shapes import Run, RunState
from mousetrap.submit_run import SubmitOptions, submit_run
from support import isolated_handlers
from support.waiting import until
from support.workbench import KEYRING, TIMEOUT_S, Workbench

pytestmark = pytest.mark.own_queues


class Database:
    """What the handler of these tests depends on."""

    def __init__(self) -> None:
        self.attempts: list[int] = []
        self.is_back = False
        self._called = asyncio.Event()

    async def add(self, number: int, context: Context[None]) -> int:
        self.attempts.append(context.attempt)
        self._called.set()
        if not self.is_back:
            raise Outage(f"no answer, for the {len(self.attempts)}. time")
        return number + 1

    async def asked(self, times: int) -> None:
        """Returns once the handler has run so often."""
        async with asyncio.timeout(TIMEOUT_S):
            while len(self.attempts) < times:
                self._called.clear()
                await self._called.wait()


def quick(**more: Any) -> RetryPolicy:
    return RetryPolicy(**{"attempts": 2, "base": 0.01, "cap": 0.05, **more})


def timeline(run: Run) -> list[tuple[str, int]]:
    """The timeline of the stage `add`: kinds and attempts."""
    return [(event.kind, event.attempt) for event in run.timeline if event.stage == "add" and event.attempt]


async def now(bench: Workbench, run_id: str) -> Run:
    run = await bench.store.get(run_id)
    assert run is not None
    return run


@pytest.mark.stages(retry=quick())
async def test_an_outage_is_waited_out_however_many_attempts_it_takes(bench: Workbench) -> None:
    database = Database()
    async with bench.working(bench.bind("add", database.add), bench.bind("double", isolated_handlers.double)):
        run_id = await bench.submit(b"20")
        await database.asked(6)
        during = await now(bench, run_id)
        database.is_back = True
        run = await bench.ended(run_id)

    assert during.state in (RunState.RETRYING, RunState.RUNNING)
    assert during.failure is None
    assert (run.state, run.result) == (RunState.COMPLETED, 42)
    assert set(database.attempts) == {1}
    assert timeline(run) == [("started", 1), ("retrying", 1), ("finished", 1)]
    [why] = [event.failure for event in run.timeline if event.kind == "retrying"]
    assert why is not None
    assert why.text == "no answer, for the 1. time"


@pytest.mark.stages(retry=quick(base=60.0, cap=60.0))
async def test_a_run_that_waits_for_an_outage_to_end_is_retrying(bench: Workbench) -> None:
    database = Database()
    async with bench.working(bench.bind("add", database.add)):
        run_id = await bench.submit()
        await bench.until(run_id, "retrying")

        assert (await now(bench, run_id)).state == RunState.RETRYING


@pytest.mark.stages(retry=quick())
async def test_an_outage_outlasts_the_workers_that_met_it(bench: Workbench) -> None:
    database = Database()
    run_id = await bench.submit(b"20")
    for times in (3, 6, 9):
        async with bench.working(bench.bind("add", database.add)):
            await database.asked(times)
    database.is_back = True
    async with bench.working(bench.bind("add", database.add), bench.bind("double", isolated_handlers.double)):
        run = await bench.ended(run_id)

    assert (run.state, run.result) == (RunState.COMPLETED, 42)
    assert set(database.attempts) == {1}
    assert ("retrying", 1) in timeline(run)
    assert not [attempt for _, attempt in timeline(run) if attempt != 1]


@pytest.mark.stages(retry=quick())
async def test_attempts_before_and_after_an_outage_count(bench: Workbench) -> None:
    errors = [ConnectionError, Outage, Outage, Outage, ConnectionError]
    attempts = []

    async def failing(number: int, context: Context[None]) -> int:
        attempts.append(context.attempt)
        raise errors[len(attempts) - 1]("no")

    async with bench.working(bench.bind("add", failing)):
        run = await bench.ended(await bench.submit())
        letter = await bench.dead_letter("add")

    assert attempts == [1, 2, 2, 2, 2]
    assert run.state == RunState.FAILED
    assert (letter.headers["mousetrap-reason"], letter.headers["mousetrap-attempts"]) == (
        "max-retries",
        "2",
    )


@pytest.mark.stages(retry=quick(attempts=1, outage_limit=0.1))
async def test_an_outage_without_end_is_given_up_for_that_reason(bench: Workbench) -> None:
    database = Database()
    outcomes: list[RetryLater | GiveUp] = []

    async def note(context: Context[Any], error: BaseException, outcome: RetryLater | GiveUp) -> None:
        outcomes.append(outcome)

    async with bench.working(bench.bind("add", database.add, on_error=note)):
        run = await bench.ended(await bench.submit())
        letter = await bench.dead_letter("add")

    assert run.state == RunState.FAILED
    assert len(database.attempts) > 1
    assert letter.headers["mousetrap-reason"] == "outage"
    assert letter.headers["mousetrap-attempts"] == "1"
    assert len(outcomes) == len(database.attempts)
    assert all(isinstance(outcome, RetryLater) and not outcome.counted for outcome in outcomes)


async def cancelled(bench: Workbench, database: Database, run_id: str) -> None:
    await database.asked(2)
    await bench.store.cancel(run_id)


async def expired(bench: Workbench, database: Database, run_id: str) -> None:
    """Its time ends by itself: in the middle of the outage, unless the machine stops for as long."""


@pytest.mark.parametrize(
    ("end", "expires_in", "state"),
    [(cancelled, None, RunState.CANCELLED), (expired, 1.0, RunState.EXPIRED)],
)
@pytest.mark.stages(retry=quick(outage_limit=math.inf))
async def test_a_run_that_has_ended_waits_for_no_outage(
    bench: Workbench, end: Callable[..., Any], expires_in: float | None, state: RunState
) -> None:
    database = Database()
    async with bench.working(bench.bind("add", database.add)):
        accepted = await submit_run(
            bench.store,
            bench.queue,
            KEYRING,
            bench.pipeline,
            b"1",
            run_id=uuid4().hex,
            options=SubmitOptions(expires_in=expires_in),
        )
        await end(bench, database, accepted.run_id)
        run = await bench.ended(accepted.run_id)
    calls = len(database.attempts)
    async with bench.working(bench.bind("add", database.add), burst=True):
        pass

    assert run.state == state
    assert len(database.attempts) == calls


@pytest.mark.stages(retry=quick())
async def test_an_isolated_handler_waits_an_outage_out_too(bench: Workbench, tmp_path: Path) -> None:
    calls, away = tmp_path / "calls", tmp_path / "away"
    away.touch()

    handler = partial(isolated_handlers.add_unless_away, calls=str(calls), away=str(away))
    async with bench.working(
        bench.bind("add", handler, isolated=True), bench.bind("double", isolated_handlers.double)
    ):
        run_id = await bench.submit(b"20")
        await asyncio.to_thread(
            until, lambda: calls.exists() and calls.read_text().count("1") >= 4, "it was tried"
        )
        away.unlink()
        run = await bench.ended(run_id)

    assert (run.state, run.result) == (RunState.COMPLETED, 42)
    assert set(calls.read_text().split()) == {"1"}
    assert timeline(run) == [("started", 1), ("retrying", 1), ("finished", 1)]
