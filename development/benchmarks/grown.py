"""A Mousetrap contender filled with waiting runs, kept runs, or pipelines."""

import asyncio
import json
import os
import statistics
import sys
import time
from contextlib import AsyncExitStack, suppress
from typing import Any

from redis.asyncio import Redis

from benchmarks import ours
from benchmarks.contending import word
from mousetrap.job_queue import open_queue
from mousetrap.jobs import Job, Queue, QueueUnreachable, first_job, signed_message
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.run_store import RunFilter, RunStore
from mousetrap.settings import Settings
from mousetrap.shapes import Run
from mousetrap.submit_run import new_run_id, submit_run

#: Runs that are made in one call, and how many such calls are under way.
_TOGETHER, _AT_ONCE = 1_000, 3

#: Copies one run under other ids, and lists each copy by its own time of acceptance. What is copied is given as a text before
#: that time and one after it, in which case it is a string, or else as a dump, bit by bit.
_COPY = """
local ttl, pipeline, parts = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local first = 4 + 2 * parts
for place = first, #ARGV, 2 + parts do
  local run, at = ARGV[place], tonumber(ARGV[place + 1])
  for part = 1, parts do
    local key, before, after = ARGV[place + 1 + part], ARGV[2 + 2 * part], ARGV[3 + 2 * part]
    if after == '' then
      redis.call('RESTORE', key, ttl, before)
    else
      redis.call('SET', key, before .. ARGV[place + 1] .. after, 'PX', ttl)
    end
    if key == 'mousetrap:run:' .. run then
      redis.call('HSET', key, 'accepted_ms', at)
    end
  end
  local day, named = math.floor(at / 86400000), string.format('%013d:%s', at, run)
  local lists = { 'runs:', 'runs:' .. pipeline .. ':', parts == 1 and 'open:' .. pipeline .. ':' or nil }
  for _, list in ipairs(lists) do
    redis.call('ZADD', 'mousetrap:' .. list .. day, 0, named)
  end
  redis.call('ZADD', 'mousetrap:ids:' .. day, 0, string.format('%s:%013d', run, at))
end
"""

# The usual limit is a million, which is to wait here besides what waits already.
ours.ENVIRON["MOUSETRAP_QUEUE_MAX_LENGTH"] = "2000000"
ours.SETTINGS = Settings.from_environ(ours.ENVIRON)

if mark := word("PIPELINE", ""):
    # Another pipeline on other queues, so that what waits for the usual one is not in its way.
    ours.PIPELINE = Pipeline(
        name=mark,
        description="Two hops.",
        stages=tuple(
            Stage(name=stage.name, queue=f"{stage.queue}_{mark}", input=str, output=str)
            for stage in ours.PIPELINE.stages
        ),
    )


class Copies:
    """Makes runs by copying one that the product itself made."""

    def __init__(self, client: "Redis", model: Run, *, done: bool) -> None:
        self._client = client
        self._model = model
        self._done = done
        self._copy: Any = client.register_script(_COPY)
        #: Whether it has packed records; known once it was looked at.
        self._packed = False

    async def of(self, times: range) -> list[tuple[str, int]]:
        """Copies that were accepted at these times: their ids and times."""
        self._packed = bool(await self._client.exists(packed_keys(self._model.id, done=False)[0]))
        contents = [part for key in self._keys(self._model.id) for part in await self._content(key)]
        made = [(new_run_id(at, os.urandom(10)), at) for at in times]
        names: list[Any] = []
        for run_id, at in made:
            names += [run_id, at, *self._keys(run_id)]
        ttl = await self._client.pttl(self._keys(self._model.id)[0])
        await self._copy(args=[ttl, self._model.pipeline, len(contents) // 2, *contents, *names])
        return made

    def _keys(self, run_id: str) -> list[str]:
        return (packed_keys if self._packed else run_keys)(run_id, done=self._done)

    async def _content(self, key: str) -> tuple[bytes, bytes]:
        """What is there; of the record of a packed run what is before its time of acceptance and after it."""
        if not key.endswith(":run"):
            dumped: Any = await self._client.dump(key)
            return dumped, b""
        seam = b'"accepted_ms":'
        record: Any = await self._client.get(key)
        before, _, rest = record.partition(seam)
        return before + seam, rest.lstrip(b"0123456789")


def run_keys(run_id: str, *, done: bool) -> list[str]:
    """Every key of a run: itself, its timeline and, once workers have had them, its jobs."""
    keys = [f"mousetrap:run:{run_id}", f"mousetrap:run:{run_id}:events"]
    return [*keys, *(f"mousetrap:job:{job}" for job in job_ids(run_id))] if done else keys


def packed_keys(run_id: str, *, done: bool) -> list[str]:
    """The same of a run with packed records, which has no timeline of its own."""
    keys = [f"mousetrap:{{{run_id}}}:run"]
    return [*keys, *(f"mousetrap:{{{run_id}}}:job:{job}" for job in job_ids(run_id))] if done else keys


def job_ids(run_id: str) -> list[str]:
    """Of each stage's job."""
    jobs = [first_of(run_id, 0)]
    jobs += [jobs[0].following(stage.name, b"0") for stage in ours.PIPELINE.stages[1:]]
    return [job.id for job in jobs]


def first_of(run_id: str, at: int) -> Job:
    """The job that starts a run."""
    return first_job(
        run_id=run_id,
        pipeline=ours.PIPELINE.name,
        stage=ours.PIPELINE.first.name,
        payload=json.dumps(ours.ORDER.payload).encode(),
        accepted_ms=at,
    )


async def fill(runs: int, *, done: bool) -> None:
    """Adds that many runs: done ones, or queued ones with their messages."""
    async with AsyncExitStack() as stack:
        queue, store = await ours.opened(stack)
        url = ours.SETTINGS.store_url.replace("valkey", "redis", 1)
        client = await stack.enter_async_context(Redis.from_url(url))
        model = await (store.latest(ours.PIPELINE.name) if done else one_that_waits(queue, store))
        if model is None:
            raise SystemExit("there is no run to copy")
        copies, last = Copies(client, model, done=done), ""
        starts = iter(range(model.accepted_ms - runs, model.accepted_ms, _TOGETHER))

        async def work() -> None:
            nonlocal last
            for start in starts:
                made = await copies.of(range(start, min(start + _TOGETHER, model.accepted_ms)))
                if not done:
                    await publish(queue, made)
                last = made[-1][0]

        await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
        await check(store, model, last)


async def one_that_waits(queue: Queue, store: RunStore) -> Run | None:
    """A run as it is when it has been submitted."""
    return await store.get(await ours.submit_one(queue, store, json.dumps(ours.ORDER.payload).encode()))


async def publish(queue: Queue, runs: list[tuple[str, int]]) -> None:
    """Publishes the first job of each run as its submission would, signed and confirmed."""

    async def one(job: Job) -> None:
        await queue.publish(ours.PIPELINE.first.queue, signed_message(job, ours.KEYRING))

    await asyncio.gather(*(one(first_of(run_id, at)) for run_id, at in runs))


async def check(store: RunStore, model: Run, copy_id: str) -> None:
    """Raises SystemExit unless a copy reads as the run does that it was made of."""
    model_now, copy = await store.get(model.id), await store.get(copy_id)
    if model_now is None or copy is None or described(model_now) != described(copy):
        raise SystemExit(f"a copied run is another than its model: {copy} is not {model_now}")


def described(run: Run) -> tuple[object, ...]:
    """A run without what makes it this one."""
    return run.pipeline, run.state, run.stage, run.input, run.result, [event.kind for event in run.timeline]


async def declare(pipelines: int) -> None:
    """Declares that many pipelines of one stage as an API does that has them in its catalogue, and starts a run of each."""
    known = [
        Pipeline(
            name=f"p{n}", description="", stages=(Stage(name="only", queue=f"p{n}", input=str, output=str),)
        )
        for n in range(pipelines)
    ]
    async with AsyncExitStack() as stack:
        for some in (
            known[n : n + 100] for n in range(0, pipelines, 100)
        ):  # RabbitMQ needs 15 ms for a quorum queue
            async with open_queue(ours.SETTINGS, [each.name for each in some], name="bench") as queue:
                await ready(queue, some[-1].name)
        queue, store = await ours.opened(stack)
        queue = await stack.enter_async_context(
            open_queue(ours.SETTINGS, [each.name for each in known], name="bench")
        )
        await ready(queue, known[-1].name)
        for each in known:
            run_id = new_run_id(time.time_ns() // 1_000_000, os.urandom(10))
            await submit_run(store, queue, ours.KEYRING, each, b'""', run_id=run_id)


async def ready(queue: Queue, name: str) -> None:
    """Returns once the queue is declared."""
    while True:
        with suppress(QueueUnreachable):
            await queue.count_ready(name)
            return
        await asyncio.sleep(0.2)


async def listing(times: int, back: int) -> dict[str, float]:
    """Milliseconds of a page of 50 runs: the newest, those of one pipeline, and those accepted `back` milliseconds before."""
    took: dict[str, list[float]] = {"newest": [], "of a pipeline": [], "old": []}
    async with AsyncExitStack() as stack:
        _, store = await ours.opened(stack)
        (newest,) = (await store.page(limit=1)).runs
        after = f"{newest.accepted_ms - back:013d}:0"
        for _ in range(times):
            for name, page in (
                ("newest", store.page(limit=50)),
                ("of a pipeline", store.page(RunFilter(pipeline=ours.PIPELINE.name), limit=50)),
                ("old", store.page(limit=50, after=after)),
            ):
                began = time.perf_counter()
                if len((await page).runs) < 50:
                    raise SystemExit(f"the page of {name} runs is not full")
                took[name].append((time.perf_counter() - began) * 1000)
    return {name: statistics.median(each) for name, each in took.items()}


def main(command: str, *arguments: str) -> int:
    """Does what the driver asks; everything else the usual contender does."""
    match command:
        case "fill-queued" | "fill-kept":
            asyncio.run(fill(int(arguments[0]), done=command == "fill-kept"))
        case "declare":
            asyncio.run(declare(int(arguments[0])))
        case "list":
            print(json.dumps(asyncio.run(listing(*map(int, arguments)))))
        case _:
            return ours.main(command, *arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
