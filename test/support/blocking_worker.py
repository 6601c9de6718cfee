"""A worker whose first attempts block, hang or lock the interpreter."""

import asyncio
import re
import sys
import time
from pathlib import Path

import msgspec

from mousetrap.handlers import Binding
from mousetrap.job_queue import open_queue
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.serve_worker import worker_main
from mousetrap.settings import Settings


class Order(msgspec.Struct, frozen=True):
    """What the first attempt does; `mark` is a file that it makes, so that the second one knows."""

    how: str
    mark: str


_POLICY = RetryPolicy(attempts=3, base=0.01, cap=0.01)
IN_LOOP = Pipeline(
    name="in_loop",
    description="Done on the event loop.",
    stages=(Stage(name="do", queue="test_in_loop", input=Order, output=str, retry=_POLICY),),
)
IN_THREAD = Pipeline(
    name="in_thread",
    description="Done in a thread, in half a second.",
    stages=(Stage(name="do", queue="test_in_thread", input=Order, output=str, retry=_POLICY, timeout=0.5),),
)


async def on_the_loop(order: Order) -> str:
    """Sometimes it waits as it should, until the mark is there."""
    if order.how == "wait":
        while not Path(order.mark).exists():  # noqa: ASYNC110, ASYNC240  a test makes it, in another process
            await asyncio.sleep(0.02)
        return "waited"
    if _is_first(order):
        if order.how == "lock":
            re.match(r"(a+)+$", "a" * 64 + "b")  # for ages, and no other thread gets a turn
        time.sleep(3600)  # noqa: ASYNC251  this is the point
    return "done"


def in_a_thread(order: Order) -> str:
    """Does not look at whether it should stop."""
    if _is_first(order):
        time.sleep(3600)
    return "done"


def _is_first(order: Order) -> bool:
    try:
        Path(order.mark).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def bind_loop(_: Settings) -> Binding:
    """What is done on the event loop."""
    return Binding(pipeline=IN_LOOP, stage="do", handler=on_the_loop)


def bind_thread(_: Settings) -> Binding:
    """What is done in a thread."""
    return Binding(pipeline=IN_THREAD, stage="do", handler=in_a_thread)


if __name__ == "__main__":
    sys.exit(worker_main(open_queue, [bind_loop, bind_thread], "blocking", "Serves handlers that misbehave."))
