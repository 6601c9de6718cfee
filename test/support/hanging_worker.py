"""A worker whose handlers ignore cancellations, fork, and leave things behind."""

import asyncio
import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from mousetrap.handlers import Binding
from mousetrap.job_queue import open_queue
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.serve_worker import Binder, worker_main
from mousetrap.settings import Settings


class Order(msgspec.Struct, frozen=True):
    """What to do; `mark` is a file that shows how far it is."""

    how: str
    mark: str


def pipeline(name: str, **more: Any) -> Pipeline:
    """One stage on a queue of its own, tried once."""
    stage = Stage(
        name="do", queue=f"test_{name}", input=Order, output=str, retry=RetryPolicy(attempts=1), **more
    )
    return Pipeline(name=name, description="Holds its worker up.", stages=(stage,))


SWALLOWS = pipeline("swallows")
LIMITED = pipeline("limited", timeout=0.2)
SOFTLY = pipeline("softly", soft_timeout=0.1, timeout=0.4)
LEAVES = pipeline("leaves")
ISOLATED = pipeline("isolated")
ALL = (SWALLOWS, LIMITED, SOFTLY, LEAVES, ISOLATED)


async def swallow(order: Order) -> str:
    """Ignores every cancellation for an hour; a second attempt at the same mark is done at once."""
    if not _is_first(order):
        return "done"
    match order.how:
        case "sleep":
            time.sleep(3600)  # noqa: ASYNC251  on the event loop: this is the point
        case "deaf":
            # Another thread takes every signal, as it can take two that come at one instant; nothing wakes this one.
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
            time.sleep(3600)  # noqa: ASYNC251
        case "default-executor":
            with suppress(asyncio.CancelledError):
                await asyncio.to_thread(time.sleep, 3600)
        case "background":
            _TASKS.append(asyncio.create_task(_stay(), name="stays"))
        case _:
            await _stay()
    return "late"


_TASKS: "list[asyncio.Task[None]]" = []


def _is_first(order: Order) -> bool:
    mark = Path(order.mark)
    first = not mark.exists()
    mark.touch()
    return first


async def _stay() -> None:
    end = time.monotonic() + 3600
    while time.monotonic() < end:
        with suppress(BaseException):
            await asyncio.sleep(3600)


def leave(order: Order) -> str:
    """Leaves behind what the interpreter would wait for."""
    match order.how:
        case "thread":
            threading.Thread(target=time.sleep, args=(3600,), name="left by a handler").start()
        case "process":
            multiprocessing.get_context("fork").Process(
                target=time.sleep, args=(3600,), name="left child"
            ).start()
        case "flood":
            _is_first(order)
            while True:
                print("x" * 10_000, file=sys.stderr, flush=True)
        case "atexit":
            atexit.register(time.sleep, 3600)
        case _:
            return fork(order)
    return "done"


def fork(order: Order) -> str:
    """Starts a process in one of the ways there are, ends it by SIGTERM, and gives how it ended."""
    match order.how:
        case "fork":
            child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
            child.start()
            child.terminate()
            child.join(60)
            return str(child.exitcode)
        case "pool":
            with multiprocessing.get_context("fork").Pool(2) as pool:
                return str(pool.map(abs, [-1, -2]))
        case "preexec":
            program = subprocess.Popen(["sleep", "3600"], preexec_fn=lambda: None)  # noqa: PLW1509
            program.terminate()
            return str(program.wait(60))
        case "os.fork":
            pid = os.fork()
            if not pid:
                return "this is the child, which comes back"
            return str(os.waitpid(pid, 0)[1])
        case _:
            raise ValueError(order.how)


@asynccontextmanager
async def held_up() -> AsyncIterator[None]:
    """A lifespan that delays its worker in the way that MOUSETRAP_TEST_LIFESPAN names."""
    how = os.environ.get("MOUSETRAP_TEST_LIFESPAN", "")
    if how == "slow to open":
        print("opening", flush=True)
        await asyncio.sleep(3600)
    if how == "never opens":
        print("opening", flush=True)
        await _stay()
    yield
    if how == "slow to close":
        await asyncio.sleep(3600)
    if how == "never closes":
        await _stay()


def _bind(pipeline: Pipeline, handler: Any, **more: Any) -> Binder:
    def bind(_: Settings) -> Binding:
        return Binding(pipeline=pipeline, stage="do", handler=handler, **more)

    return bind


if __name__ == "__main__":
    from support import (
        hanging_worker as this,
    )  # an isolated handler must have a name that another process can import

    sys.exit(
        worker_main(
            open_queue,
            [
                *(
                    _bind(each, this.swallow, lifespan=this.held_up)
                    for each in (this.SWALLOWS, this.LIMITED, this.SOFTLY)
                ),
                _bind(this.LEAVES, this.leave),
                _bind(this.ISOLATED, this.fork, isolated=True),
            ],
            "stubborn",
            "Serves handlers that hold their worker up.",
        )
    )
