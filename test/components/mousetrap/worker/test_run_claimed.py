"""A claimed job that waits until it may run alone."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, cast

from mousetrap.handlers import Binding, BoundHandler, HandlerHost, HungHandlers, bound
from mousetrap.jobs import Done, Outcome, RetryLater, first_job
from mousetrap.payloads import PayloadOptions, open_payloads
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.run_store import Granted
from mousetrap.telemetry import Observer
from mousetrap.worker.attempts import Attempt, Attempts
from mousetrap.worker.large_payloads import LargePayloads
from mousetrap.worker.outages import Outages
from mousetrap.worker.run_claimed import ClaimedRunner
from mousetrap.worker.suspects import SuspectGate

STAGE = Stage(name="add", queue="add", input=int, output=int)
PIPELINE = Pipeline(name="sums", description="One stage.", stages=(STAGE,))


async def test_a_suspect_that_others_cancel_while_it_waits_has_failed_and_lets_the_next_pass() -> None:
    finish = asyncio.Event()

    async def wait(number: int) -> int:
        await finish.wait()
        return number

    with ThreadPoolExecutor(1) as threads:
        host = HandlerHost(threads=threads, hung=HungHandlers(), worker="w", report=cast(Any, None))
        handler = bound(Binding(pipeline=PIPELINE, stage="add", handler=wait), None, host)
        no_store = cast(Any, None)  # no step of these jobs asks it
        payloads = LargePayloads(open_payloads(PayloadOptions(), lambda: no_store), Outages())
        attempts = Attempts(no_store, [handler], 30.0, Observer())
        runner = ClaimedRunner(cast(Any, _Recorded()), attempts, payloads, Observer(), SuspectGate())
        first = begin(runner, "r1", handler, Granted(fence=1, starts=1))
        await asyncio.sleep(0)
        suspect = begin(runner, "r2", handler, Granted(fence=2, starts=2, suspect=True))
        await asyncio.sleep(0)
        suspect.cancel()
        outcome = await suspect
        finish.set()
        last = begin(runner, "r3", handler, Granted(fence=3, starts=1))
        ended = [await first, await last]

    assert isinstance(outcome, RetryLater)
    assert outcome.failure.kind.endswith("CancelledByOthers")
    assert [type(each) for each in ended] == [Done, Done]


class _Recorded:
    async def record(self, attempt: Attempt, outcome: Outcome) -> Outcome:
        return outcome


def begin(runner: ClaimedRunner, run: str, handler: BoundHandler, claim: Granted) -> "asyncio.Task[Any]":
    async def run_it() -> Any:
        task = asyncio.current_task()
        assert task is not None
        delivery = cast(Any, SimpleNamespace(since_ms=0))
        return await runner.run(Attempt(job, "add", handler, None, [delivery], task), claim, ExitStack())

    job = first_job(run_id=run, pipeline="sums", stage="add", payload=b"1", accepted_ms=1)
    return asyncio.create_task(run_it())
