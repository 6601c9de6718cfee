"""Isolated handlers: what they may do, and how each is ended."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec.structs import replace

from mousetrap.handlers import Binding, HandlerHost, HungHandlers
from mousetrap.isolated_handlers import IsolatedHandler
from mousetrap.jobs import LARGEST_INLINE, Done, GiveUp, Outcome, RetryLater, first_job
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.shapes import Progress
from support import hostile_handlers as hostile
from support import isolated_handlers as handlers
from support.processes import Process, clean_environment
from support.waiting import until

# Each test starts processes.
pytestmark = pytest.mark.slow
TIMEOUT_S = 60.0
#: Seconds, in which a handler begins on a busy machine too: a limit that is over before is met outside of its `try`.
SOFT_S = 0.5


@dataclass
class Bench:
    """The handler of one binding, and its progress reports."""

    handler: IsolatedHandler
    reports: list[Progress] = field(default_factory=list)
    reported: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of(cls, binding: Binding, processes: int = 1) -> "Bench":
        async def report(run_id: str, progress: Progress) -> None:
            bench.reports.append(progress)
            bench.reported.set()

        threads = ThreadPoolExecutor(1)  # starts none, as an isolated handler needs none
        host = HandlerHost(
            threads=threads, hung=HungHandlers(), worker="w", report=report, chance=lambda: 0.5
        )
        bench = cls(IsolatedHandler(binding, host, processes=processes))
        return bench

    async def run(self, value: Any, *, attempt: int = 1) -> Outcome:
        job = replace(JOB, attempt=attempt, payload=msgspec.Raw(msgspec.json.encode(value)))
        return await self.handler.run(job, fence=7, lock_fence=8)

    async def value(self, value: Any, **more: Any) -> Any:
        outcome = await self.run(value, **more)
        assert isinstance(outcome, Done), outcome
        return msgspec.json.decode(outcome.output)

    async def progress(self, done: float) -> None:
        """Returns when a handler has reported that."""
        async with asyncio.timeout(TIMEOUT_S):
            while not self.reports or self.reports[-1].done != done:
                self.reported.clear()
                await self.reported.wait()


JOB = replace(first_job(run_id="r1", pipeline="p", stage="s", payload=b"1", accepted_ms=1), id="j1")


@asynccontextmanager
async def isolated(
    handler: Callable[..., Any], *, processes: int = 1, lifespan: Any = None, **stage: Any
) -> AsyncIterator[Bench]:
    """A handler in at most so many processes, all of which are ended afterwards."""
    bench = Bench.of(a_binding(handler, lifespan, **stage), processes)
    try:
        yield bench
    finally:
        await asyncio.wait_for(bench.handler.close(), TIMEOUT_S)


def a_binding(handler: Callable[..., Any], lifespan: Any = None, **stage: Any) -> Binding:
    policy = RetryPolicy(attempts=3, base=2.0, dont_retry_on=(ZeroDivisionError,))
    chosen: dict[str, Any] = {"input": Any, "output": Any, "retry": policy, **stage}
    pipeline = Pipeline(name="p", description="One stage.", stages=(Stage(name="s", queue="q", **chosen),))
    more = {"lifespan": lifespan} if lifespan else {}
    return Binding(pipeline=pipeline, stage="s", handler=handler, isolated=True, **more)


def is_gone(process: int) -> bool:
    """Whether it has ended; one that is not reaped yet counts."""
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True


async def test_the_value_and_the_context_cross_and_the_handler_runs_in_another_process() -> None:
    async with isolated(handlers.facts, timeout=100.0) as bench:
        value = await bench.value(21, attempt=2)

        assert value.pop("process") not in (0, os.getpid())
        assert 40 <= value.pop("left") <= 100
        assert value == {
            "number": 21,
            "deps": None,
            "key": "j1",
            "where": ["r1", "p", "s"],
            "counts": [2, 7, 8],
            "of": ["q", "w", 3, 100.0],
            "cancelled": False,
        }


@pytest.mark.parametrize("handler", [handlers.double, handlers.double_later, handlers.double_by_run])
async def test_sync_and_async_handlers_do_one_job_after_another(handler: Callable[..., Any]) -> None:
    async with isolated(handler, input=int, output=int) as bench:
        assert [await bench.value(number) for number in range(5)] == [0, 2, 4, 6, 8]


async def test_a_lifespan_is_entered_once_for_many_jobs_and_left_at_the_end(tmp_path: Path) -> None:
    notes = tmp_path / "notes"

    async with isolated(handlers.facts, lifespan=partial(handlers.noted, str(notes))) as bench:
        values = [await bench.value(number) for number in range(3)]

        [process] = {value["process"] for value in values}
        assert {value["deps"] for value in values} == {process}
        assert notes.read_text() == f"entered {process}\n"

        await bench.handler.close()

        assert notes.read_text() == f"entered {process}\nleft {process}\n"
        assert is_gone(process)


async def test_a_lifespan_that_fails_is_a_failed_attempt_and_the_next_one_tries_again(tmp_path: Path) -> None:
    async with isolated(
        handlers.double, lifespan=partial(handlers.away_at_first, str(tmp_path / "tried"))
    ) as bench:
        first = await bench.run(1)

        assert isinstance(first, RetryLater)
        assert (first.failure.kind, first.failure.text) == ("ConnectionError", "the database is away")
        assert await bench.value(2) == 4


async def test_an_error_is_judged_under_the_stages_policy_with_a_traceback_that_names_the_handler() -> None:
    async with isolated(handlers.fail) as bench:
        outcome = await bench.run(5)

        assert isinstance(outcome, GiveUp)
        assert (outcome.reason, outcome.failure.kind, outcome.failure.text) == (
            "not-retryable",
            "ZeroDivisionError",
            "5 by zero",
        )
        assert "isolated_handlers.py" in outcome.failure.traceback
        assert "in fail" in outcome.failure.traceback
        assert isinstance(await bench.run(6), GiveUp)  # by the same process


@pytest.mark.parametrize(
    ("handler", "kind", "after"),
    [
        (handlers.busy, "support.isolated_handlers.Busy", 17.0),
        (handlers.again, "mousetrap.retry.errors.TryAgain", 5.0),
        (handlers.leave, "SystemExit", 2.0),  # chance 0.5 of base 2.0, doubled once
        (handlers.leave_later, "SystemExit", 2.0),
        (handlers.cancel_itself, "asyncio.exceptions.CancelledError", 2.0),
    ],
)
async def test_what_an_error_asks_for_is_believed_and_none_ends_the_process(
    handler: Callable[..., Any], kind: str, after: float
) -> None:
    async with isolated(
        handler, retry=RetryPolicy(attempts=3 + (handler is handlers.again), base=2.0)
    ) as bench:
        for _ in range(2):
            outcome = await bench.run(1, attempt=2)

            assert isinstance(outcome, RetryLater)
            assert (outcome.failure.kind, outcome.after) == (kind, after)
        assert isinstance(await bench.run(1, attempt=3), RetryLater if handler is handlers.again else GiveUp)


async def test_output_and_input_outside_their_contracts_are_given_up() -> None:
    async with isolated(handlers.untrue, input=int, output=int) as bench:
        for value, where in ((1, "the output of stage 's'"), ("one", "the input of stage 's'")):
            outcome = await bench.run(value)

            assert isinstance(outcome, GiveUp)
            assert (outcome.reason, outcome.failure.text.partition(":")[0]) == ("contract", where)


async def test_a_constraint_in_a_contract_crosses_as_well() -> None:
    async with isolated(
        handlers.double, input=Annotated[int, msgspec.Meta(ge=1, description="not none")]
    ) as bench:
        assert await bench.value(1) == 2
        assert isinstance(await bench.run(0), GiveUp)


async def test_the_largest_payload_crosses_both_ways() -> None:
    async with isolated(handlers.longer, input=str, output=str) as bench:
        text = "é" * (LARGEST_INLINE // 2 - 2)

        assert await bench.value(text) == text + "x"


async def test_progress_crosses_and_the_last_word_is_never_lost() -> None:
    async with isolated(handlers.count) as bench:
        assert await bench.value(10_000) == 10_000
        await bench.progress(10_000)

        assert bench.reports[-1] == Progress(stage="s", done=10_000, total=10_000, note="steps")
        done = [progress.done for progress in bench.reports]
        assert done == sorted(set(done))


async def test_what_a_handler_prints_goes_to_the_workers_output_and_disturbs_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with isolated(handlers.chatter) as bench:
        assert [await bench.value(number) for number in (1, 2)] == [1, 2]

    out, err = capfd.readouterr()
    for line in ("printed xxx", "written to 1", "asked", "printed by a program"):
        assert out.count(line) == 2
    assert err.count("written to 2") == 2


async def test_a_signal_that_is_sent_to_all_processes_is_the_workers_to_handle() -> None:
    async with isolated(handlers.signalled) as bench:
        assert await bench.value(1) == 1


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("SIGKILL", ("signal 9 (SIGKILL)", "memory")),
        ("SIGSEGV", ("signal 11 (SIGSEGV)", "native code")),
        ("exit", ("exit code 3",)),
        ("forked", ("exit code 4",)),
    ],
)
async def test_a_handler_whose_process_dies_has_failed_and_the_next_job_gets_another_process(
    how: str, words: tuple[str, ...]
) -> None:
    async with isolated(handlers.die) as bench:
        before = await bench.value("live")
        outcome = await asyncio.wait_for(bench.run(how), TIMEOUT_S)

        assert isinstance(outcome, RetryLater)
        assert outcome.failure.kind == "mousetrap.isolated_handlers.child_process.HandlerDied"
        assert all(word in outcome.failure.text for word in words), outcome.failure.text
        assert is_gone(int(before))
        assert await bench.value("live") != before
        assert isinstance(await bench.run(how, attempt=3), GiveUp)


async def test_a_handler_that_eats_all_memory_has_failed_and_its_process_is_used_no_more() -> None:
    async with isolated(handlers.die) as bench:
        before = await bench.value("live")
        outcome = await bench.run("memory")

        assert isinstance(outcome, RetryLater)
        assert outcome.failure.kind in (
            "MemoryError",
            "mousetrap.isolated_handlers.child_process.HandlerDied",
        )
        assert is_gone(int(before))
        assert await bench.value("live") != before


async def test_a_process_that_died_while_it_had_nothing_to_do_costs_no_job_an_attempt() -> None:
    async with isolated(handlers.die) as bench:
        idle = int(await bench.value("live"))
        os.kill(idle, signal.SIGKILL)
        await asyncio.to_thread(until, lambda: is_gone(idle), "it has died")

        assert int(await bench.value("live")) != idle


@pytest.mark.parametrize("handler", [handlers.stay, handlers.stay_on_the_loop])
@pytest.mark.parametrize("how", ["spinning", "swallowing", "holding the lock"])
async def test_a_cancelled_handler_that_heeds_nothing_is_gone_with_all_that_it_started(
    handler: Callable[..., Any], how: str, tmp_path: Path
) -> None:
    processes = tmp_path / "processes"

    async with isolated(handler, input=tuple[str, str]) as bench:
        task = asyncio.create_task(bench.run((how, str(processes))))
        await asyncio.to_thread(until, processes.exists, "the handler runs")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), TIMEOUT_S)

        handler_, program = map(int, processes.read_text().split())
        assert is_gone(handler_)
        until(lambda: is_gone(program), "what the handler started is gone")


async def test_a_second_cancel_does_not_leave_the_process_behind(tmp_path: Path) -> None:
    processes = tmp_path / "processes"

    async with isolated(handlers.stay, input=tuple[str, str]) as bench:
        task = asyncio.create_task(bench.run(("spinning", str(processes))))
        await asyncio.to_thread(until, processes.exists, "the handler runs")
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), TIMEOUT_S)

        assert is_gone(int(processes.read_text().split()[0]))


@pytest.fixture
def long_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that leaves a handler so much time to leave that a busy machine cannot spoil it."""
    monkeypatch.setattr("mousetrap.isolated_handlers.process_pool._HANDLER_GRACE_S", TIMEOUT_S)


@pytest.mark.parametrize("handler", [handlers.tidy, handlers.tidy_later])
async def test_a_handler_whose_job_is_cancelled_while_its_process_starts_is_never_called(
    handler: Callable[..., Any], tmp_path: Path, long_grace: None
) -> None:
    notes = tmp_path / "notes"

    async with isolated(handler, lifespan=partial(handlers.slow, str(notes))) as bench:
        task = asyncio.create_task(bench.run(str(notes)))
        await asyncio.to_thread(until, notes.exists, "the lifespan is being entered")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), TIMEOUT_S)

        assert notes.read_text() == "entering\n"


@pytest.mark.parametrize("handler", [handlers.tidy, handlers.tidy_later])
async def test_a_cancelled_handler_may_tidy_up_and_its_lifespan_is_left(
    handler: Callable[..., Any], tmp_path: Path, long_grace: None
) -> None:
    notes = tmp_path / "notes"

    async with isolated(handler, lifespan=partial(handlers.noted, str(notes))) as bench:
        task = asyncio.create_task(bench.run(str(notes)))
        await bench.progress(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), TIMEOUT_S)

        words = [line.split()[0] for line in notes.read_text().splitlines()]
        assert words == ["entered", "begun", "tidied", "left"]
        assert "tidied True" in notes.read_text()


async def test_a_time_limit_around_it_ends_the_process(tmp_path: Path) -> None:
    processes = tmp_path / "processes"

    async with isolated(handlers.stay, input=tuple[str, str]) as bench:

        async def over_once_begun() -> None:
            await asyncio.to_thread(until, processes.exists, "the handler runs")
            limit.reschedule(asyncio.get_running_loop().time())

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(TIMEOUT_S) as limit, asyncio.TaskGroup() as group:
                group.create_task(over_once_begun())
                await bench.run(("swallowing", str(processes)))

        assert is_gone(int(processes.read_text().split()[0]))


@pytest.mark.parametrize(
    "handler",
    [
        handlers.spin_softly,
        handlers.sleep_softly,
        handlers.sleep_softly_through_a_signal,
        handlers.await_softly,
        handlers.await_task_softly,
        handlers.spin_on_the_loop,
    ],
)
async def test_at_its_soft_limit_a_handler_is_notified_wherever_it_is_and_can_still_answer(
    handler: Callable[..., Any],
) -> None:
    async with isolated(handler, soft_timeout=SOFT_S) as bench:
        for _ in range(2):  # the second one by the same process: the first limit has left no trace
            assert await bench.value(1) == "True the soft time limit is over"


async def test_a_handler_that_lets_its_soft_limit_end_it_has_failed() -> None:
    async with isolated(handlers.overrun, soft_timeout=SOFT_S) as bench:
        outcome = await bench.run(1)

        assert isinstance(outcome, RetryLater)
        assert outcome.failure.kind == "mousetrap.handlers.soft_timeout.SoftTimeout"
        assert "in overrun" in outcome.failure.traceback


async def test_as_many_as_allowed_run_side_by_side_and_never_more(tmp_path: Path) -> None:
    async with isolated(handlers.meet, processes=2, input=tuple[str, str, int]) as bench:
        # The first two can only end together, which two in a row could not.
        jobs = [bench.value((str(tmp_path), f"job {number}", 2)) for number in range(5)]
        processes = await asyncio.gather(*jobs)

        assert len(set(processes)) == 2


_PROGRAM = """
import asyncio, logging, sys
from mousetrap.telemetry import log_to_stderr
sys.path.insert(0, {tests!r})
sys.path.insert(0, {here!r})
from test_isolated import Bench, a_binding, handlers

def in_the_program(number):
    return number

async def main():
    log_to_stderr("INFO", "json")
    {main}

asyncio.run(main())
"""


def a_program(main: str) -> Process:
    here = Path(__file__)
    text = _PROGRAM.format(main=main, tests=str(here.parents[3]), here=str(here.parent))
    return Process([sys.executable, "-c", text], clean_environment())


@pytest.mark.parametrize("how", ["swallowing", "holding the lock"])
def test_a_killed_worker_takes_its_handlers_along_and_all_that_they_started(how: str, tmp_path: Path) -> None:
    processes = tmp_path / "processes"
    main = f"await Bench.of(a_binding(handlers.stay, input=tuple[str, str])).run({(how, str(processes))})"
    with a_program(main) as worker:
        until(processes.exists, f"the handler runs; its worker printed: {worker.output}")
        handler, program = map(int, processes.read_text().split())
        assert not is_gone(handler)
        worker.send(signal.SIGKILL)

        try:
            until(lambda: is_gone(handler), "the handler is gone")
            until(lambda: is_gone(program), "what the handler started is gone")
        finally:
            for left in (handler, program):
                with suppress(ProcessLookupError):
                    os.kill(left, signal.SIGKILL)


def test_a_handler_logs_as_its_worker_does() -> None:
    main = """
    bench = Bench.of(a_binding(handlers.log))
    print("value", await bench.value(3))
    await bench.handler.close()
    """
    with a_program(main.strip()) as worker:
        worker.wait_for_line("value 3")
        assert worker.wait() == 0

    line, other = [json.loads(line) for line in worker.lines if line.startswith("{")]
    facts = {"run": "r1", "pipeline": "p", "stage": "s", "job": JOB.id, "attempt": 1, "worker": "w"}
    assert line.items() >= {"level": "INFO", "message": "from the handler", **facts}.items()
    assert other.items() >= {"logger": "handlers", "message": "from elsewhere", **facts}.items()


def test_a_handler_of_the_program_itself_is_refused() -> None:
    with a_program("Bench.of(a_binding(in_the_program))") as program:
        assert program.wait() == 1

    assert "ValueError: stage 's' of pipeline 'p' is isolated" in program.lines[-1]
    assert "__main__" in program.lines[-1]


@asynccontextmanager
async def _a_lifespan() -> Any:
    yield None


def test_what_another_process_could_not_import_is_refused_with_advice() -> None:
    def local(number: int) -> int:
        return number

    class LocalError(Exception):
        pass

    for binding, named in (
        (a_binding(local), "local"),
        (a_binding(lambda number: number), "lambda"),
        (a_binding(handlers.double, lambda: _a_lifespan()), "lambda"),
        (a_binding(handlers.double, retry=RetryPolicy(retry_on=(LocalError,))), "LocalError"),
    ):
        with pytest.raises(ValueError, match=r"stage 's' of pipeline 'p' is isolated.*") as refused:
            Bench.of(binding)
        assert named in str(refused.value)
        assert "top of a module" in str(refused.value)


@pytest.mark.parametrize("handler", [hostile.fail, hostile.fail_later])
async def test_whatever_an_isolated_handler_raises_is_a_failed_attempt(handler: Callable[..., Any]) -> None:
    async with isolated(handler) as bench:
        for kind in hostile.ERRORS:
            outcome = await bench.run(kind)
            assert isinstance(outcome, RetryLater), kind
            assert outcome.failure.kind, kind
            assert not outcome.failure.kind.endswith("HandlerDied"), kind


@pytest.mark.parametrize("handler", [hostile.see_and_set, hostile.see_and_set_later])
async def test_an_isolated_attempt_sees_what_the_lifespan_set_and_nothing_of_another(
    handler: Callable[..., Any],
) -> None:
    async with isolated(handler, lifespan=hostile.setting) as bench:
        assert {await bench.value(number) for number in range(3)} == {"what the lifespan set"}


@pytest.mark.parametrize("kind", ["system-exit", "keyboard"])
async def test_a_task_that_stops_the_loop_under_an_isolated_handler_fails_the_attempt(kind: str) -> None:
    async with isolated(hostile.leave_in_a_task) as bench:
        for _ in range(2):
            outcome = await bench.run(kind)
            assert isinstance(outcome, RetryLater)
            assert outcome.failure.kind in ("SystemExit", "KeyboardInterrupt")


@pytest.mark.parametrize("how", ["system-exit", "keyboard", "stop"])
async def test_an_isolated_handler_whose_loop_is_stopped_goes_on(how: str) -> None:
    async with isolated(hostile.stop_the_loop) as bench:
        outcome = await bench.run(how)
        assert isinstance(outcome, RetryLater)
        assert outcome.failure.text == "the loop went on"
