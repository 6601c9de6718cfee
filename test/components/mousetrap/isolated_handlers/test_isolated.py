"""What handlers in processes of their own may do, and that each of them can be ended. The processes are real."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from mousetrap.handlers import Binding
from mousetrap.isolated_handlers.isolated import Children
from mousetrap.isolated_handlers.protocol import Facts
from mousetrap.jobs import LARGEST_PAYLOAD, Done, GiveUp, Outcome, RetryLater
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.shapes import Progress
from support import hostile_handlers as hostile
from support import isolated_handlers as handlers
from support.processes import Process, clean_environment
from support.waiting import until

PATIENCE = 20.0


@dataclass
class Bench:
    """The children of one binding, and what their handlers say of their progress."""

    children: Children
    said: list[Progress] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def perform(self, value: Any, *, attempt: int = 1, soft: float | None = None) -> Outcome:
        deadline = asyncio.get_running_loop().time() + 100
        facts = Facts(
            run_id="r1",
            job_id="j1",
            pipeline="p",
            stage="s",
            attempt=attempt,
            fence=7,
            lock_fence=8,
            deadline=deadline,
        )
        return await self.children.perform(
            msgspec.json.encode(value), facts, soft=soft, chance=0.5, tell=self._hear
        )

    async def value(self, value: Any, **more: Any) -> Any:
        outcome = await self.perform(value, **more)
        assert isinstance(outcome, Done), outcome
        return msgspec.json.decode(outcome.output)

    async def progress(self) -> None:
        """Returns when a handler has said something."""
        await asyncio.wait_for(self.news.wait(), PATIENCE)

    def _hear(self, progress: Progress) -> None:
        self.said.append(progress)
        self.news.set()


def isolated(
    handler: Callable[..., Any],
    story: Callable[[Bench], Awaitable[None]],
    *,
    most: int = 1,
    lifespan: Any = None,
    **stage: Any,
) -> None:
    """Tells a story about a handler in at most so many processes, all of which are ended afterwards."""

    async def tell() -> None:
        bench = Bench(Children(a_binding(handler, lifespan, **stage), most))
        try:
            await asyncio.wait_for(story(bench), 60)
        finally:
            await asyncio.wait_for(bench.children.close(), PATIENCE)

    asyncio.run(tell())


def a_binding(handler: Callable[..., Any], lifespan: Any = None, **stage: Any) -> Binding:
    policy = RetryPolicy(attempts=3, base=2.0, dont_retry_on=(ZeroDivisionError,))
    chosen: dict[str, Any] = {"input": Any, "output": Any, "retry": policy, **stage}
    pipeline = Pipeline(name="p", description="One stage.", stages=(Stage(name="s", queue="q", **chosen),))
    more = {"lifespan": lifespan} if lifespan else {}
    return Binding(pipeline=pipeline, stage="s", handler=handler, isolated=True, **more)


def is_gone(process: int) -> bool:
    """Whether it has ended; one that nobody has reaped yet counts."""
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True


def test_the_value_and_the_context_cross_and_the_handler_runs_in_another_process() -> None:
    async def story(bench: Bench) -> None:
        value = await bench.value(21, attempt=2)

        assert value.pop("process") not in (0, os.getpid())
        assert value.pop("left") in (99, 100)
        assert value == {
            "number": 21,
            "deps": None,
            "key": "j1",
            "where": ["r1", "p", "s"],
            "counts": [2, 7, 8],
            "cancelled": False,
        }

    isolated(handlers.facts, story)


@pytest.mark.parametrize("handler", [handlers.double, handlers.double_later, handlers.double_by_run])
def test_sync_and_async_handlers_do_one_job_after_another(handler: Callable[..., Any]) -> None:
    async def story(bench: Bench) -> None:
        assert [await bench.value(number) for number in range(5)] == [0, 2, 4, 6, 8]

    isolated(handler, story, input=int, output=int)


def test_a_lifespan_is_entered_once_for_many_jobs_and_left_at_the_end(tmp_path: Path) -> None:
    notes = tmp_path / "notes"

    async def story(bench: Bench) -> None:
        values = [await bench.value(number) for number in range(3)]

        [process] = {value["process"] for value in values}
        assert {value["deps"] for value in values} == {process}
        assert notes.read_text() == f"entered {process}\n"

        await bench.children.close()

        assert notes.read_text() == f"entered {process}\nleft {process}\n"
        assert is_gone(process)

    isolated(handlers.facts, story, lifespan=partial(handlers.noted, str(notes)))


def test_a_lifespan_that_fails_is_a_failed_attempt_and_the_next_one_tries_again(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        first = await bench.perform(1)

        assert isinstance(first, RetryLater)
        assert (first.failure.kind, first.failure.text) == ("ConnectionError", "the database is away")
        assert await bench.value(2) == 4

    isolated(handlers.double, story, lifespan=partial(handlers.away_at_first, str(tmp_path / "tried")))


def test_an_error_is_judged_under_the_stages_policy_with_a_traceback_that_names_the_handler() -> None:
    async def story(bench: Bench) -> None:
        outcome = await bench.perform(5)

        assert isinstance(outcome, GiveUp)
        assert (outcome.reason, outcome.failure.kind, outcome.failure.text) == (
            "not-retryable",
            "ZeroDivisionError",
            "5 by zero",
        )
        assert "isolated_handlers.py" in outcome.failure.traceback
        assert "in fail" in outcome.failure.traceback
        assert isinstance(await bench.perform(6), GiveUp)  # by the same process

    isolated(handlers.fail, story)


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
def test_what_an_error_asks_for_is_believed_and_none_ends_the_process(
    handler: Callable[..., Any], kind: str, after: float
) -> None:
    async def story(bench: Bench) -> None:
        for _ in range(2):
            outcome = await bench.perform(1, attempt=2)

            assert isinstance(outcome, RetryLater)
            assert (outcome.failure.kind, outcome.after) == (kind, after)
        assert isinstance(
            await bench.perform(1, attempt=3), RetryLater if handler is handlers.again else GiveUp
        )

    isolated(handler, story, retry=RetryPolicy(attempts=3 + (handler is handlers.again), base=2.0))


def test_output_and_input_outside_their_contracts_are_given_up() -> None:
    async def story(bench: Bench) -> None:
        for value, where in ((1, "the output of stage 's'"), ("one", "the input of stage 's'")):
            outcome = await bench.perform(value)

            assert isinstance(outcome, GiveUp)
            assert (outcome.reason, outcome.failure.text.partition(":")[0]) == ("contract", where)

    isolated(handlers.untrue, story, input=int, output=int)


def test_a_constraint_in_a_contract_crosses_as_well() -> None:
    async def story(bench: Bench) -> None:
        assert await bench.value(1) == 2
        assert isinstance(await bench.perform(0), GiveUp)

    isolated(handlers.double, story, input=Annotated[int, msgspec.Meta(ge=1, description="not none")])


def test_the_largest_payload_crosses_both_ways() -> None:
    async def story(bench: Bench) -> None:
        text = "é" * (LARGEST_PAYLOAD // 2 - 2)

        assert await bench.value(text) == text + "x"

    isolated(handlers.longer, story, input=str, output=str)


def test_progress_crosses_and_the_last_word_is_never_lost() -> None:
    async def story(bench: Bench) -> None:
        assert await bench.value(10_000) == 10_000

        assert bench.said[-1] == Progress(stage="s", done=10_000, total=10_000, note="steps")
        done = [progress.done for progress in bench.said]
        assert done == sorted(set(done))

    isolated(handlers.tell, story)


def test_what_a_handler_prints_goes_to_the_workers_output_and_disturbs_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def story(bench: Bench) -> None:
        assert [await bench.value(number) for number in (1, 2)] == [1, 2]

    isolated(handlers.chatter, story)

    out, err = capfd.readouterr()
    for line in ("printed xxx", "written to 1", "asked", "printed by a program"):
        assert out.count(line) == 2
    assert err.count("written to 2") == 2


def test_a_signal_that_is_sent_to_all_processes_is_the_workers_to_hear() -> None:
    async def story(bench: Bench) -> None:
        assert await bench.value(1) == 1

    isolated(handlers.signalled, story)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("SIGKILL", ("signal 9 (SIGKILL)", "memory")),
        ("SIGSEGV", ("signal 11 (SIGSEGV)", "native code")),
        ("exit", ("exit code 3",)),
        ("forked", ("exit code 4",)),
    ],
)
def test_a_handler_whose_process_dies_has_failed_and_the_next_job_gets_another_process(
    how: str, words: tuple[str, ...]
) -> None:
    async def story(bench: Bench) -> None:
        before = await bench.value("live")
        outcome = await asyncio.wait_for(bench.perform(how), PATIENCE)

        assert isinstance(outcome, RetryLater)
        assert outcome.failure.kind == "mousetrap.isolated_handlers.child_process.HandlerDied"
        assert all(word in outcome.failure.text for word in words), outcome.failure.text
        assert is_gone(int(before))
        assert await bench.value("live") != before
        assert isinstance(await bench.perform(how, attempt=3), GiveUp)

    isolated(handlers.die, story)


def test_a_handler_that_eats_all_memory_has_failed_and_its_process_is_used_no_more() -> None:
    async def story(bench: Bench) -> None:
        before = await bench.value("live")
        outcome = await bench.perform("memory")

        assert isinstance(outcome, RetryLater)
        assert outcome.failure.kind in (
            "MemoryError",
            "mousetrap.isolated_handlers.child_process.HandlerDied",
        )
        assert is_gone(int(before))
        assert await bench.value("live") != before

    isolated(handlers.die, story)


def test_a_process_that_died_while_it_had_nothing_to_do_costs_no_job_an_attempt() -> None:
    async def story(bench: Bench) -> None:
        idle = int(await bench.value("live"))
        os.kill(idle, signal.SIGKILL)

        assert int(await bench.value("live")) != idle

    isolated(handlers.die, story)


@pytest.mark.parametrize("handler", [handlers.stay, handlers.stay_on_the_loop])
@pytest.mark.parametrize("how", ["spinning", "swallowing", "holding the lock"])
def test_a_cancelled_handler_that_heeds_nothing_is_gone_with_all_that_it_started(
    handler: Callable[..., Any], how: str, tmp_path: Path
) -> None:
    processes = tmp_path / "processes"

    async def story(bench: Bench) -> None:
        task = asyncio.create_task(bench.perform((how, str(processes))))
        await asyncio.to_thread(until, processes.exists, "the handler runs")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), 5.0)

        handler_, program = map(int, processes.read_text().split())
        assert is_gone(handler_)
        until(lambda: is_gone(program), "what the handler started is gone", 5.0)

    isolated(handler, story, input=tuple[str, str])


def test_a_second_cancel_does_not_leave_the_process_behind(tmp_path: Path) -> None:
    processes = tmp_path / "processes"

    async def story(bench: Bench) -> None:
        task = asyncio.create_task(bench.perform(("spinning", str(processes))))
        await asyncio.to_thread(until, processes.exists, "the handler runs")
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), 5.0)

        assert is_gone(int(processes.read_text().split()[0]))

    isolated(handlers.stay, story, input=tuple[str, str])


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that leaves a handler so much time to leave that a busy machine cannot spoil it."""
    monkeypatch.setattr("mousetrap.isolated_handlers.isolated._GRACE", PATIENCE)


@pytest.mark.parametrize("handler", [handlers.tidy, handlers.tidy_later])
def test_a_handler_whose_job_is_cancelled_while_its_process_starts_is_never_called(
    handler: Callable[..., Any], tmp_path: Path, patient: None
) -> None:
    notes = tmp_path / "notes"

    async def story(bench: Bench) -> None:
        task = asyncio.create_task(bench.perform(str(notes)))
        await asyncio.to_thread(until, notes.exists, "the lifespan is being entered")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), PATIENCE)

        assert notes.read_text() == "entering\n"

    isolated(handler, story, lifespan=partial(handlers.slow, str(notes)))


@pytest.mark.parametrize("handler", [handlers.tidy, handlers.tidy_later])
def test_a_cancelled_handler_may_tidy_up_and_its_lifespan_is_left(
    handler: Callable[..., Any], tmp_path: Path, patient: None
) -> None:
    notes = tmp_path / "notes"

    async def story(bench: Bench) -> None:
        task = asyncio.create_task(bench.perform(str(notes)))
        await bench.progress()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), PATIENCE)

        words = [line.split()[0] for line in notes.read_text().splitlines()]
        assert words == ["entered", "begun", "tidied", "left"]
        assert "tidied True" in notes.read_text()

    isolated(handler, story, lifespan=partial(handlers.noted, str(notes)))


def test_a_time_limit_around_it_ends_the_process(tmp_path: Path) -> None:
    processes = tmp_path / "processes"

    async def story(bench: Bench) -> None:
        async def over_once_begun() -> None:
            await asyncio.to_thread(until, processes.exists, "the handler runs")
            limit.reschedule(asyncio.get_running_loop().time())

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(PATIENCE) as limit, asyncio.TaskGroup() as group:
                group.create_task(over_once_begun())
                await bench.perform(("swallowing", str(processes)))

        assert is_gone(int(processes.read_text().split()[0]))

    isolated(handlers.stay, story, input=tuple[str, str])


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
def test_at_its_soft_limit_a_handler_is_notified_wherever_it_is_and_can_still_answer(
    handler: Callable[..., Any],
) -> None:
    async def story(bench: Bench) -> None:
        for _ in range(2):  # the second one by the same process: the first limit has left no trace
            assert await bench.value(1, soft=0.05) == "True the soft time limit is over"

    isolated(handler, story)


def test_a_handler_that_lets_its_soft_limit_end_it_has_failed() -> None:
    async def story(bench: Bench) -> None:
        outcome = await bench.perform(1, soft=0.05)

        assert isinstance(outcome, RetryLater)
        assert outcome.failure.kind == "mousetrap.handlers.soft_timeout.SoftTimeout"
        assert "in overrun" in outcome.failure.traceback

    isolated(handlers.overrun, story)


def test_as_many_as_allowed_run_side_by_side_and_never_more(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        # The first two can only end together, which two in a row could not.
        jobs = [bench.value((str(tmp_path), f"job {number}", 2)) for number in range(5)]
        processes = await asyncio.gather(*jobs)

        assert len(set(processes)) == 2

    isolated(handlers.meet, story, most=2, input=tuple[str, str, int])


_PROGRAM = """
import asyncio, logging, sys
from mousetrap.telemetry import log_to_stderr
sys.path.insert(0, {tests!r})
sys.path.insert(0, {here!r})
from test_isolated import Bench, Children, a_binding, handlers

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
    main = f"await Bench(Children(a_binding(handlers.stay, input=tuple[str, str]), 1)).perform({(how, str(processes))})"
    with a_program(main) as worker:
        until(processes.exists, f"the handler runs; its worker said: {worker.output}")
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
    bench = Bench(Children(a_binding(handlers.log), 1))
    print("value", await bench.value(3))
    await bench.children.close()
    """
    with a_program(main.strip()) as worker:
        worker.wait_for_line("value 3")
        assert worker.wait() == 0

    [line] = [json.loads(line) for line in worker.lines if line.startswith("{")]
    assert (line["level"], line["message"], line["run"], line["stage"], line["attempt"]) == (
        "INFO",
        "from the handler",
        "r1",
        "s",
        1,
    )


def test_a_handler_of_the_program_itself_is_refused() -> None:
    with a_program("Children(a_binding(in_the_program), 1)") as program:
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
            Children(binding, 1)
        assert named in str(refused.value)
        assert "top of a module" in str(refused.value)


@pytest.mark.parametrize("handler", [hostile.fail, hostile.fail_later])
def test_whatever_an_isolated_handler_raises_is_a_failed_attempt(handler: Callable[..., Any]) -> None:
    async def story(bench: Bench) -> None:
        for kind in hostile.ERRORS:
            outcome = await bench.perform(kind)
            assert isinstance(outcome, RetryLater), kind
            assert outcome.failure.kind, kind
            assert not outcome.failure.kind.endswith("HandlerDied"), kind

    isolated(handler, story)


@pytest.mark.parametrize("handler", [hostile.see_and_set, hostile.see_and_set_later])
def test_an_isolated_attempt_sees_what_the_lifespan_set_and_nothing_of_another(
    handler: Callable[..., Any],
) -> None:
    async def story(bench: Bench) -> None:
        assert {await bench.value(number) for number in range(3)} == {"what the lifespan set"}

    isolated(handler, story, lifespan=hostile.setting)


@pytest.mark.parametrize("kind", ["system-exit", "keyboard"])
def test_a_task_that_stops_the_loop_under_an_isolated_handler_fails_the_attempt(kind: str) -> None:
    async def story(bench: Bench) -> None:
        for _ in range(2):
            outcome = await bench.perform(kind)
            assert isinstance(outcome, RetryLater)
            assert outcome.failure.kind in ("SystemExit", "KeyboardInterrupt")

    isolated(hostile.leave_in_a_task, story)


@pytest.mark.parametrize("how", ["system-exit", "keyboard", "stop"])
def test_an_isolated_handler_whose_loop_is_stopped_goes_on(how: str) -> None:
    async def story(bench: Bench) -> None:
        outcome = await bench.perform(how)
        assert isinstance(outcome, RetryLater)
        assert outcome.failure.text == "the loop went on"

    isolated(hostile.stop_the_loop, story)
