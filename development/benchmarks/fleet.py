"""A Mousetrap contender with two hundred queues and five hundred workers."""

import asyncio
import sys
import time
from contextlib import AsyncExitStack

from benchmarks import grown, ours
from benchmarks.tabs import KNOWN
from mousetrap.job_queue import open_queue
from mousetrap.jobs import Queue, signed_message
from mousetrap.pipeline import Pipeline, Stage, write_manifests
from mousetrap.settings import Settings
from mousetrap.shapes import BEAT_S, Beat
from mousetrap.signing import Keyring
from mousetrap.submit_run import new_run_id
from mousetrap.worker_registry import Published, WorkerRegistry, open_registry

# The usual limit, unlike where a million runs wait: the API and the fan-out's worker declare queues with it too.
ours.ENVIRON.pop("MOUSETRAP_QUEUE_MAX_LENGTH")
ours.SETTINGS = Settings.from_environ(ours.ENVIRON)

#: Each pipeline has as many stages, each with a queue.
_STAGES = 5
#: Dead letters, each of a message with a signature of another.
_LETTERS = 50


def pipelines(queues: int) -> list[Pipeline]:
    """Pipelines that have so many queues together."""
    return [
        Pipeline(
            name=f"p{number}",
            description="Five hops.",
            stages=tuple(
                Stage(name=f"s{place}", queue=f"p{number}_s{place}", input=str, output=str)
                for place in range(_STAGES)
            ),
        )
        for number in range(queues // _STAGES)
    ]


async def declare(known: list[Pipeline], stack: AsyncExitStack) -> Queue:
    """Declares their queues, a hundred at a time."""
    names = [stage.queue for each in known for stage in each.stages]
    for some in (names[place : place + 100] for place in range(0, len(names), 100)):
        async with open_queue(ours.SETTINGS, some, name="bench") as queue:
            await grown.ready(queue, some[-1])
    return await stack.enter_async_context(open_queue(ours.SETTINGS, names, name="bench"))


async def spoil(letters: int) -> None:
    """Publishes messages that a worker puts aside, for their signature is not of our key."""
    other = Keyring.parse("bench:another-secret-for-the-benchmark")
    async with AsyncExitStack() as stack:
        queue, _ = await ours.opened(stack)
        for number in range(letters):
            run_id = unknown_id(number)
            await queue.publish(
                ours.PIPELINE.first.queue, signed_message(grown.first_of(run_id, _now_ms()), other)
            )


def unknown_id(number: int) -> str:
    """An id of a run that there is not."""
    return new_run_id(_now_ms(), number.to_bytes(10))


async def beat(workers: int, queues: int) -> None:
    """Beats for so many workers until it is ended, each with two stages, and a job done since the last beat."""
    known = pipelines(queues)
    manifests = write_manifests({each.name: each for each in [*known, ours.PIPELINE]})
    published = Published.of(manifests, ours.KEYRING)
    async with AsyncExitStack() as stack:
        await declare(known, stack)
        registry = await stack.enter_async_context(
            open_registry(ours.SETTINGS.store_url, published=published)
        )
        done = 0
        while True:
            began = time.monotonic()
            done += 1
            await one_beat_each(registry, known, workers, done)
            if done == 1:
                print(KNOWN, flush=True)
            await asyncio.sleep(max(0.0, BEAT_S - (time.monotonic() - began)))


async def one_beat_each(registry: WorkerRegistry, known: list[Pipeline], workers: int, done: int) -> None:
    """One of each worker, spread over the time between two."""
    for number in range(workers):
        pipeline = known[number % len(known)]
        stages = [pipeline.stages[(number + more) % _STAGES] for more in range(2)]
        await registry.beat(
            Beat(
                name=f"host-{number % 50}-{number}-worker",
                host=f"host-{number % 50}",
                pid=number,
                version="1.0",
                stages=tuple(f"{pipeline.name}.{stage.name}" for stage in stages),
                queues=tuple(stage.queue for stage in stages),
                concurrency=10,
                state="serving",
                done=done,
                failed=1,
                running=0,
                doing=(),
            )
        )
        if done > 1:
            await asyncio.sleep(BEAT_S / workers * 0.8)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def main(command: str, *arguments: str) -> int:
    """Does what the driver asks; everything else the one does that has grown."""
    match command:
        case "beat":
            asyncio.run(beat(*map(int, arguments)))
        case "spoil":
            asyncio.run(spoil(_LETTERS))
        case _:
            return grown.main(command, *arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
