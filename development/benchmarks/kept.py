"""Fills a store with runs of every state, copied from a few."""

import os
import time
from dataclasses import dataclass
from typing import Any

import msgspec
from redis.asyncio import Redis

from mousetrap.jobs import Done, Failure, GiveUp, Job, Outcome, first_job
from mousetrap.run_store import DecisionRequest, RunStore, StoredRun, Terms
from mousetrap.submit_run import new_run_id

#: Copies a run under other ids, each with its own time of acceptance. Its record is given as a text before that time and one after it;
#: what else there is of it as dumps. A copy is named wherever its model is.
_COPY = """
local lists, ttl, before, after, parts = cjson.decode(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
for place = 6 + parts, #ARGV, 2 + parts do
  local run, time = ARGV[place], ARGV[place + 1]
  redis.call('SET', 'mousetrap:{' .. run .. '}:run', before .. time .. after, 'PX', ttl)
  for part = 1, parts do
    redis.call('RESTORE', ARGV[place + 1 + part], ttl, ARGV[5 + part])
  end
  local day = math.floor(tonumber(time) / 86400000)
  for _, list in ipairs(lists) do
    local key = list .. day
    redis.call('ZADD', key, 0, list == 'mousetrap:ids:' and run .. ':' .. time or time .. ':' .. run)
    redis.call('PEXPIRE', key, ttl, 'NX')
  end
end
"""
#: Runs that one call makes.
_TOGETHER = 1_000
#: Of each pipeline; workers, of whom one has few runs.
STAGES, USUAL, RARE = ("fetch", "process"), "w1", "w2"


@dataclass(frozen=True, slots=True)
class Kind:
    """Runs that are alike."""

    pipeline: str
    #: How it ended, or that it goes on.
    end: str
    #: Of each sixteen runs.
    share: int
    tags: tuple[str, ...] = ()
    error: str = ""


#: 62 of a thousand are the fewest of a kind: a page of 50 is full with a thousand runs and with a million.
KINDS = (
    Kind("sums", "completed", 9),
    Kind("papers", "completed", 2, tags=("nightly",)),
    Kind("sums", "failed", 2, error="feeds.FeedUnavailable"),
    Kind("papers", "failed", 1, tags=("nightly",), error="Broken"),
    Kind("papers", "cancelled", 1),
    Kind("sums", "running", 1),
)


async def fill(store: RunStore, url: str, count: int, apart_ms: int) -> None:
    """Adds that many runs, accepted one after the other so many milliseconds apart, the last just now."""
    async with Redis.from_url(url) as client:
        copy = client.register_script(_COPY)
        models = [model for kind in KINDS for model in [await _model(store, client, kind)] * kind.share]
        newest = max(model.accepted_ms for model in models)
        for start in range(0, count, _TOGETHER):
            some = range(start, min(start + _TOGETHER, count))
            times = [newest - (count - number) * apart_ms for number in some]
            for model in dict.fromkeys(models):
                mine = [
                    time for time, number in zip(times, some, strict=True) if models[number % 16] is model
                ]
                await copy(args=[*model.arguments, *(part for at in mine for part in model.named(at))])


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    accepted_ms: int
    #: The last parts of its keys, but for the record of the run; each job by its place.
    names: tuple[str, ...]
    arguments: tuple[Any, ...]

    def named(self, at_ms: int) -> list[str]:
        """Of a copy that is accepted then, what the script needs."""
        run_id = new_run_id(at_ms, os.urandom(10))
        jobs = _job_ids(run_id)
        return [
            run_id,
            f"{at_ms:013d}",
            *(f"mousetrap:{{{run_id}}}:{name.format(*jobs)}" for name in self.names),
        ]


async def _model(store: RunStore, client: "Redis", kind: Kind) -> _Model:
    """What a copy needs of a run of that kind."""
    run = await _made(store, kind)
    prefix, places = f"mousetrap:{{{run.id}}}:", {job: f"{{{n}}}" for n, job in enumerate(_job_ids(run.id))}
    keys = [key.decode() async for key in client.scan_iter(f"{prefix}*") if key.decode() != f"{prefix}run"]
    dumps = [await client.dump(key) for key in keys]
    names = [key.removeprefix(prefix) for key in keys]
    for job, place in places.items():
        names = [name.replace(job, place) for name in names]
    record: Any = await client.get(f"{prefix}run")
    before, seam, rest = record.partition(b'"accepted_ms":')
    lists = msgspec.json.encode(await _lists(client, run))
    ttl = await client.pttl(f"{prefix}run")
    arguments = (lists, ttl, before + seam, rest.lstrip(b"0123456789"), len(dumps), *dumps)
    return _Model(run.accepted_ms, tuple(names), arguments)


async def _lists(client: "Redis", run: StoredRun) -> list[str]:
    """The lists of its day that name the run, without the day."""
    day = str(run.accepted_ms // 86_400_000)
    members = [f"{run.accepted_ms:013d}:{run.id}", f"{run.id}:{run.accepted_ms:013d}"]
    found = []
    async for key in client.scan_iter(f"mousetrap:*:{day}", _type="zset"):
        scores: Any = await client.zmscore(key, members)
        if any(score is not None for score in scores):
            found.append(key.decode().removesuffix(day))
    # The process that ended it takes it off the open ones a second later.
    return [name for name in found if not (run.state.ended and name.startswith("mousetrap:open:"))]


async def _made(store: RunStore, kind: Kind) -> StoredRun:
    """A run of that kind, as the product records it."""
    run_id = new_run_id(time.time_ns() // 1_000_000, os.urandom(10))
    terms = Terms(tags=kind.tags)
    opened = await store.open_run(run_id, kind.pipeline, STAGES[0], b"1", terms=terms)
    job = first_job(
        run_id=run_id, pipeline=kind.pipeline, stage=STAGES[0], payload=b"1", accepted_ms=opened.accepted_ms
    )
    if kind.end == "cancelled":
        await store.cancel(run_id)
    elif kind.end == "failed":
        await _decide(store, job, GiveUp("max-retries", Failure(kind=kind.error, text="no")), None)
    elif kind.end == "running":
        await store.claim(job, worker=RARE, redelivered=False, lease=3600.0)
    else:
        fence = await _decide(store, job, Done(msgspec.Raw(b"2")), STAGES[1])
        following = job.following(STAGES[1], b"2", fence=fence)
        await _decide(store, following, Done(msgspec.Raw(b"3")), None)
    run = await store.get(run_id)
    if run is None or run.state != kind.end:
        raise SystemExit(f"a run is {run and run.state}, not {kind.end}")
    return run


async def _decide(store: RunStore, job: Job, outcome: Outcome, following: str | None) -> int:
    """Has a worker take the job and record its outcome; gives the fence."""
    claim: Any = await store.claim(job, worker=USUAL, redelivered=False, lease=3600.0)
    decision = DecisionRequest(job, outcome, claim, following is None, following)
    (found,) = (await store.exchange([decision], (), worker=USUAL)).decisions
    if found != "recorded":
        raise SystemExit(f"a decision was {found}")
    return int(claim.fence)


def _job_ids(run_id: str) -> list[str]:
    job = first_job(run_id=run_id, pipeline="p", stage=STAGES[0], payload=b"1", accepted_ms=0)
    return [job.id, job.following(STAGES[1], b"2", fence=1).id]
