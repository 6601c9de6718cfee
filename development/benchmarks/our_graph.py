"""Mousetrap as a contender: a job's children, and their join."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from benchmarks import ours
from benchmarks.contending import FIRST, LAST
from mousetrap.handlers import Binding
from mousetrap.job_queue import open_queue
from mousetrap.pipeline import All, Each, Gathered, Many, Pipeline, Stage
from mousetrap.serve_worker import serve_worker
from mousetrap.settings import Settings

ours.PIPELINE = Pipeline(
    name="fan",
    description="Fans out, and counts.",
    stages=(
        Stage(name="start", queue="bench_start", input=int, output=Many[str]),
        Stage(name="child", queue="bench_child", input=str, output=str, after=Each("start")),
        Stage(name="join", queue="bench_join", input=Gathered[str], output=int, after=All("child")),
    ),
)


async def start(children: int) -> AsyncIterator[str]:
    """Fans out."""
    ours.COUNTER.tick(FIRST, 0)
    payload = ours.ORDER.payload
    for _ in range(children):
        yield payload


async def child(payload: str) -> str:
    """Does nothing."""
    ours.COUNTER.tick(FIRST)
    return payload


async def join(outputs: Gathered[str]) -> int:
    """Gets the outputs, and counts them."""
    found = 0
    async for _ in outputs:
        found += 1
    ours.COUNTER.tick(LAST, found)
    return found


def bind_start(_: Settings) -> Binding:
    """The fan-out."""
    return Binding(pipeline=ours.PIPELINE, stage="start", handler=start)


def bind_child(_: Settings) -> Binding:
    """What is done for each."""
    return Binding(pipeline=ours.PIPELINE, stage="child", handler=child)


def bind_join(_: Settings) -> Binding:
    """The join."""
    return Binding(pipeline=ours.PIPELINE, stage="join", handler=join)


async def submit(children: int) -> None:
    """Starts one run."""
    async with AsyncExitStack() as stack:
        queue, store = await ours.opened(stack)
        await ours.submit_one(queue, store, str(children).encode())


def main(command: str, *arguments: str) -> int:
    """Does what the driver asks."""
    match command:
        case "work":
            return serve_worker(open_queue, [bind_start, bind_child, bind_join], ours.ENVIRON)
        case "submit":
            asyncio.run(submit(int(arguments[0])))
            return 0
        case _:
            return ours.main(command, *arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
