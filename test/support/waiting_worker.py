"""A worker whose jobs wait for every reason that there is."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mousetrap.handlers import Binding
from mousetrap.job_queue import open_queue
from mousetrap.pipeline import All, AtMost, Each, Gathered, Lock, Many, Pipeline, Rate, Stage
from mousetrap.retry import Outage, RetryPolicy, TryAgain
from mousetrap.serve_worker import worker_main
from mousetrap.settings import Settings


class Order(msgspec.Struct, frozen=True):
    """What the handler does; `mark` is a file that it waits for."""

    how: str = "done"
    mark: str = ""
    region: str = "jp"


class Feed(Exception):
    """An error of a kind of its own."""


class Wrong(Exception):
    """An error that every repeat would meet again."""


#: Pauses of days, so that a job is still delayed when a test looks.
_POLICY = RetryPolicy(attempts=5, base=1e6, cap=2e6, dont_retry_on=(Wrong,))
SINGLE = Pipeline(
    name="single",
    description="One stage.",
    stages=(Stage(name="do", queue="waiting_do", input=Order, output=str, retry=_POLICY),),
)
LOCKED = Pipeline(
    name="locked",
    description="One at a time.",
    stages=(
        Stage(
            name="hold", queue="waiting_hold", input=Order, output=str, lock=Lock(name="feed", by="region")
        ),
    ),
)
FANNED = Pipeline(
    name="fanned",
    description="Opens jobs, and joins them.",
    stages=(
        Stage(name="find", queue="waiting_find", input=Order, output=Many[Order]),
        Stage(name="read", queue="waiting_read", input=Order, output=str, after=Each("find"), retry=_POLICY),
        Stage(name="sum", queue="waiting_sum", input=Gathered[str], output=int, after=All("read")),
    ),
)
LIMITED = Pipeline(
    name="limited",
    description="One at a time for each region.",
    stages=(
        Stage(
            name="take",
            queue="waiting_take",
            input=Order,
            output=str,
            limit=(AtMost(1, per="region"), Rate(1000)),
        ),
    ),
)
PIPELINES = (SINGLE, LOCKED, FANNED, LIMITED)


async def do(order: Order) -> str:
    """As it is ordered."""
    if order.how == "fail":
        raise Feed("the feed answers 503")
    if order.how == "wrong":
        raise Wrong("<b>the order</b> is wrong")
    if order.how == "outage":
        raise Outage("the database is away")
    if order.how == "asked":
        raise TryAgain(after=7_000)
    while order.how == "hold" and not Path(order.mark).exists():  # noqa: ASYNC110, ASYNC240  a test makes it
        await asyncio.sleep(0.02)
    return order.how


def find(order: Order) -> Iterator[Order]:
    """One that is done at once, and one as ordered."""
    yield Order()
    yield order


def count(read: Gathered[str]) -> int:
    """How many there are."""
    return read.total


def bindings() -> list[Binding]:
    """All stages but those of `SINGLE` where the worker is to serve none of these."""
    return [
        Binding(pipeline=SINGLE, stage="do", handler=do),
        Binding(pipeline=LOCKED, stage="hold", handler=do),
        Binding(pipeline=LIMITED, stage="take", handler=do),
        Binding(pipeline=FANNED, stage="find", handler=find),
        Binding(pipeline=FANNED, stage="read", handler=do),
        Binding(pipeline=FANNED, stage="sum", handler=count),
    ]


def _binder(binding: Binding) -> "object":
    def bind(_: Settings) -> Binding:
        return binding

    return bind


if __name__ == "__main__":
    sys.exit(worker_main(open_queue, [_binder(it) for it in bindings()], "waiting", "Serves jobs that wait."))  # type: ignore[misc]
