"""Handlers and lifespans for processes of their own, good and bad."""

import asyncio
import ctypes
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from mousetrap.handlers import Context, SoftTimeout
from mousetrap.retry import Outage, TryAgain
from support.waiting import until

_log = logging.getLogger("handlers")


def note(file: str, line: object) -> None:
    """Adds a line to a file that several processes write and a test reads."""
    with Path(file).open("a") as notes:
        notes.write(f"{line}\n")


@asynccontextmanager
async def noted(file: str) -> AsyncIterator[int]:
    """Notes when it is entered and left; gives the process's number."""
    async with asyncio.TaskGroup():  # which only the task that entered it may leave
        note(file, f"entered {os.getpid()}")
        yield os.getpid()
    note(file, f"left {os.getpid()}")


@asynccontextmanager
async def slow(file: str) -> AsyncIterator[None]:
    """Is entered only once the process got a message, which interrupts its main thread by a signal."""
    loop, signalled, handle = asyncio.get_running_loop(), asyncio.Event(), signal.getsignal(signal.SIGUSR1)
    assert callable(handle)

    def on_signal(number: int, frame: FrameType | None) -> None:
        handle(number, frame)
        loop.call_soon_threadsafe(signalled.set)

    signal.signal(signal.SIGUSR1, on_signal)
    note(file, "entering")
    await signalled.wait()
    yield None


@asynccontextmanager
async def away_at_first(file: str) -> AsyncIterator[None]:
    """Fails the first time, as something that the handler depends on would, and works from then on."""
    if _is_first(file):
        raise ConnectionError("the database is away")
    yield None


def _is_first(file: str) -> bool:
    try:
        Path(file).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def add_unless_away(number: int, context: Context[Any], *, calls: str, away: str) -> int:
    """Notes its attempt, and meets an outage as long as there is the file `away`."""
    note(calls, context.attempt)
    if Path(away).exists():
        raise Outage("the database is away")
    return number + 1


def facts(number: int, context: Context[Any]) -> dict[str, Any]:
    """What the context holds."""
    return {
        "number": number,
        "deps": context.deps,
        "key": context.idempotency_key,
        "where": [context.run_id, context.pipeline, context.stage],
        "counts": [context.attempt, context.fence, context.lock_fence],
        "of": [context.queue, context.worker, context.max_attempts, context.timeout],
        "left": context.deadline and round(context.deadline - time.monotonic()),
        "cancelled": context.cancelled,
        "process": os.getpid(),
    }


def double(number: int) -> int:
    """A handler that needs no context."""
    return number * 2


async def double_later(number: int) -> int:
    """An async one."""
    await asyncio.sleep(0)
    return number * 2


def double_by_run(number: int) -> int:
    """A sync one that runs a loop of its own."""
    return asyncio.run(double_later(number))


def longer(text: str) -> str:
    """Gives one character more than it takes."""
    return text + "x"


def count(number: int, context: Context[Any]) -> int:
    """Reports each step as progress."""
    for step in range(number):
        context.progress(step + 1, number, "steps")
    return number


def chatter(number: int) -> int:
    """Prints whatever it has, in every way there is."""
    print("printed", "x" * 10_000)
    os.write(1, b"written to 1\n")
    os.write(2, b"written to 2\n")
    with suppress(EOFError):
        input("asked")
    subprocess.run([sys.executable, "-c", "print('printed by a program')"], check=True)
    return number


def flood(number: int) -> int:
    """Logs more lines than are kept of a run."""
    for line in range(5_000):
        _log.info("%d", line)
    return number


def log(number: int, context: Context[Any]) -> int:
    """Logs, once with what the run is and once without."""
    context.log.info("from the handler")
    _log.debug("too fine to be shown")
    _log.info("from elsewhere")
    return number


def span_of(number: int) -> int:
    """Logs, and gives the id of the span that it is in, as far as a float can hold it."""
    from opentelemetry import trace

    from mousetrap.telemetry import log_facts

    _log.warning("in a span: %s", log_facts())
    return trace.get_current_span().get_span_context().span_id % 2**31


def signalled(number: int) -> int:
    """Meets what a terminal and a service manager send to all processes at once."""
    for each in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), each)
    return number


def fail(number: int) -> NoReturn:
    """Divides by zero."""
    raise ZeroDivisionError(f"{number} by zero")


class Busy(Exception):
    """An error with the time of the next attempt."""

    retry_after = 17.0


def busy(number: int) -> NoReturn:
    """Fails with the time of the next attempt."""
    raise Busy("come back")


def again(number: int) -> NoReturn:
    """Wants to be tried again in its own time."""
    raise TryAgain(after=5.0)


def leave(number: int) -> NoReturn:
    """Wants to end the program."""
    sys.exit(3)


async def leave_later(number: int) -> NoReturn:
    """Wants to end the program, on the loop."""
    sys.exit(3)


async def cancel_itself(number: int) -> NoReturn:
    """Raises a cancellation that has no cause."""
    raise asyncio.CancelledError


def untrue(number: int) -> int:
    """Gives what it did not promise."""
    return "many"  # type: ignore[return-value]


def die(how: str, context: Context[Any]) -> str:
    """Ends its process in the way that `how` names."""
    match how:
        case "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)
        case "SIGSEGV":
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit":
            os._exit(3)
        case "forked":
            if os.fork() == 0:
                time.sleep(600)  # in the process group, with a copy of everything that was open
            os._exit(4)
        case "memory":
            most = 512 * 1024 * 1024
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
            hoard = [bytearray(1024 * 1024)]
            while True:
                hoard.append(bytearray(1024 * 1024))
    return str(os.getpid())


def stay(how_and_file: tuple[str, str], context: Context[Any]) -> NoReturn:
    """Starts a program, notes both processes, and ignores every interruption."""
    how, file = how_and_file
    program = subprocess.Popen(["sleep", "600"])
    note(file + ".part", f"{os.getpid()} {program.pid}")
    Path(file + ".part").rename(file)
    if how == "spinning":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            pass
    if how == "swallowing":
        while True:
            with suppress(BaseException):
                while True:
                    time.sleep(600)
    while True:  # in C, with the interpreter's lock held: no other thread runs, and no signal is heeded
        ctypes.PyDLL(None).sleep(600)


async def stay_on_the_loop(how_and_file: tuple[str, str], context: Context[Any]) -> NoReturn:
    """The same, async."""
    stay(how_and_file, context)


def tidy(file: str, context: Context[Any]) -> None:
    """Waits to be stopped, and tidies up."""
    note(file, "begun")
    try:
        context.progress(1)  # in here: who reads it may stop the handler at once
        while True:
            time.sleep(600)
    finally:
        note(file, f"tidied {context.cancelled}")


async def tidy_later(file: str, context: Context[Any]) -> None:
    """The same, async."""
    note(file, "begun")
    try:
        context.progress(1)
        await asyncio.sleep(600)
    finally:
        note(file, f"tidied {context.cancelled}")


def spin_softly(number: int, context: Context[Any]) -> str:
    """Computes until its soft timeout."""
    assert not context.cancelled
    try:
        while True:
            pass
    except SoftTimeout as error:
        return f"{context.cancelled} {error}"


def sleep_softly(number: int, context: Context[Any]) -> str:
    """Waits until its soft timeout."""
    try:
        time.sleep(600)
    except SoftTimeout as error:
        return f"{context.cancelled} {error}"
    return "woke up"


def sleep_softly_through_a_signal(number: int, context: Context[Any]) -> str:
    """Waits likewise, and misses the first signal, as one that comes just before the system call is missed."""
    handler = signal.getsignal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, lambda number, frame: signal.signal(signal.SIGUSR1, handler))
    return sleep_softly(number, context)


async def await_softly(number: int, context: Context[Any]) -> str:
    """Waits on the loop until its soft timeout; can wait again afterwards."""
    try:
        await asyncio.sleep(600)
    except SoftTimeout as error:
        await asyncio.sleep(0.01)
        return f"{context.cancelled} {error}"
    return "woke up"


async def await_task_softly(number: int, context: Context[Any]) -> str:
    """Waits until its soft timeout for a task of its own, which is cancelled."""
    task = asyncio.create_task(asyncio.sleep(600))
    try:
        await task
    except SoftTimeout as error:
        assert task.cancelled()
        return f"{context.cancelled} {error}"
    return "woke up"


async def spin_on_the_loop(number: int, context: Context[Any]) -> str:
    """Computes on the loop until its soft timeout."""
    return spin_softly(number, context)


def overrun(number: int, context: Context[Any]) -> None:
    """Lets the soft limit end it."""
    time.sleep(600)


def meet(folder_and_name: tuple[str, str, int], context: Context[Any]) -> int:
    """Waits for so many others, each in its process; gives the process's number."""
    folder, name, together = folder_and_name
    (Path(folder) / name).touch()
    until(lambda: len(list(Path(folder).iterdir())) >= together, "all are here")
    return os.getpid()


def hold(file: str) -> str:
    """Notes its process, and never leaves by itself."""
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
    note(file, os.getpid())
    while True:
        time.sleep(3600)


def compute(seconds: str) -> str:
    """Keeps a processor busy for so long."""
    until_then = time.monotonic() + float(seconds)
    while time.monotonic() < until_then:
        sum(number * number for number in range(10_000))
    return seconds
