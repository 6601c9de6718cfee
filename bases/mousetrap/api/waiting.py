"""Answers why a run waits, from what broker, store and workers know."""

import asyncio
import time
from collections.abc import Sequence

from fastapi import APIRouter, Request

from mousetrap import shapes
from mousetrap.api.access import may_read
from mousetrap.api.known import KnownRun, known_run
from mousetrap.api.problems import NO_ACCESS, Kind, refusals
from mousetrap.api.put_aside import put_aside
from mousetrap.api.queue_facts import Look
from mousetrap.api.routes import Route
from mousetrap.api.services import Services, WithServices
from mousetrap.jobs import QueueUnreachable, Unroutable
from mousetrap.pipeline import AtMost, Pipeline, Rate, Stage
from mousetrap.run_store import JobFilter, Standing, StoredRun
from mousetrap.settings import masked
from mousetrap.shapes import JobState
from mousetrap.submit_run import ABANDONED_S, RerunImpossible
from mousetrap.waiting import Facts, JobAt, LimitAt, LockAt, PlaceAt, judge

#: For the broker to answer.
_LOOK_TIMEOUT_S = 1.0
#: Characters of the value that selects a lock, as it is shown.
_MOST_OF_A_VALUE = 100
#: How often a run that changes while it is looked at is read, at most.
_READS = 3
#: The states of jobs that are not decided. Of those in a fan-out one of each is looked at: others wait for the same.
_OPEN = (JobState.QUEUED, JobState.RETRYING, JobState.RUNNING)

router = APIRouter(tags=["runs"], route_class=Route)


@router.get(
    "/runs/{run_id}/waiting",
    dependencies=[may_read],
    responses=refusals(*NO_ACCESS, Kind.UNKNOWN_RUN, Kind.INVALID_REQUEST, Kind.STORE_AWAY),
)
async def show_waiting(run: KnownRun, services: WithServices, request: Request) -> shapes.Waiting:
    """Why the run waits: what comes first on its way, and beside it what it meets after that; each with its evidence.

    One that a worker has, or that has ended, is shown as that. A broker that is away is a reason, and no error.
    """
    return judge(await _facts(run, services, local=request.app.state.access.local_only))


async def _facts(run: StoredRun, services: Services, *, local: bool) -> Facts:
    run, jobs, unpublished_ms = await _at_one_time(run, services)
    if run.state.ended:
        return _facts_of(run)
    pipeline = services.pipelines.get(run.pipeline)
    queues = sorted({name for job in jobs if (name := _queue_of(pipeline, job.stage))})
    letter, (look, broker) = await asyncio.gather(
        put_aside(run, services), _look(services, queues, local=local)
    )
    by_name = {queue.name: queue for queue in look.queues} if look else {}
    places = (
        PlaceAt(job=job, queue_name=name, queue=by_name.get(name))
        for job in jobs
        for name in [_queue_of(pipeline, job.stage)]
    )
    began = any(job.since_ms or job.state != "queued" for job in jobs)
    return _facts_of(
        run,
        unpublished_ms=None if began else unpublished_ms,
        broker=broker,
        letter=letter,
        places=tuple(places),
        fan=next((fan for fan in run.fans if fan.state != "fired"), None),
        workers=look.workers if look else await services.registry.workers(),
    )


async def _at_one_time(run: StoredRun, services: Services) -> tuple[StoredRun, Sequence[JobAt], int | None]:
    """The run, its jobs that are not decided, and since when it is not published, as they were at one time.

    They are several reads, and a worker changes the run between two of them: then a run would be shown as queued that a worker
    has. So the run is read once more, and all of it again where that has changed; one that changes faster is shown as it
    was last read.
    """
    store = services.store
    jobs: Sequence[JobAt] = ()
    unpublished_ms: int | None = None
    for _ in range(_READS):
        if run.state.ended:
            break
        jobs, unpublished_ms = await asyncio.gather(
            _open_jobs(run, services), store.unpublished_since(run.id)
        )
        before, run = run, await known_run(run.id, store)
        if _version(run) == _version(before):
            break
    return run, jobs, unpublished_ms


def _version(run: StoredRun) -> tuple[object, ...]:
    """What differs once the run has changed."""
    return run.state, run.stage, run.updated_ms, len(run.timeline)


def _facts_of(run: StoredRun, **more: object) -> Facts:
    known = {
        "now_ms": int(time.time() * 1000),
        "run_id": run.id,
        "pipeline": run.pipeline,
        "state": run.state,
        "accepted_ms": run.accepted_ms,
        "updated_ms": run.updated_ms,
        "finished_ms": run.finished_ms,
        "due_ms": run.due_ms,
        "republished_after_s": ABANDONED_S,
        "unreadable": run.unreadable,
    }
    return Facts(**{**known, **more})  # type: ignore[arg-type]


async def _look(services: Services, queues: Sequence[str], *, local: bool) -> tuple[Look | None, str]:
    """What is known of the queues and the workers, or why the broker cannot be asked: that costs the answer this alone."""
    try:
        async with asyncio.timeout(_LOOK_TIMEOUT_S):
            if queues:
                return await services.queue_facts.look(queues), ""
            await services.queue.check()
            return None, ""
    except (QueueUnreachable, Unroutable) as error:
        return None, str(error) if local else error.outside()
    except TimeoutError:
        return None, f"the broker did not answer in {_LOOK_TIMEOUT_S:g} s"


async def _open_jobs(run: StoredRun, services: Services) -> Sequence[JobAt]:
    """The jobs that are not decided: the one of the run's own row, or one of each state in a fan-out."""
    pipeline = services.pipelines.get(run.pipeline)
    if pipeline is None:
        return [JobAt(stage=run.stage, state="queued")]
    pages = await asyncio.gather(
        *(services.store.jobs(run, pipeline, JobFilter(state=state, limit=1)) for state in _OPEN)
    )
    lines = [line for page in pages for line in page.jobs]
    if not lines and not run.fans:  # of a run of an earlier format, whose next job has no event yet
        return [JobAt(stage=run.stage, state="queued")]
    standings = await services.store.standings(run.id, [line.id for line in lines])
    return await asyncio.gather(
        *(
            _job_at(services, run, pipeline, line, standing)
            for line, standing in zip(lines, standings, strict=True)
        )
    )


async def _job_at(
    services: Services, run: StoredRun, pipeline: Pipeline, line: shapes.JobLine, held: Standing | None
) -> JobAt:
    stage = pipeline.stage(line.stage)
    failure = line.failure or _last_failure(run, line.id)
    attempts = stage.retry.attempts if stage else None
    if held is None:
        state = {JobState.RUNNING: "running", JobState.RETRYING: "retrying"}.get(line.state, "queued")
        return JobAt(
            stage=line.stage,
            state=state,  # type: ignore[arg-type]
            id=line.id,
            attempt=max(1, line.attempt),
            attempts=attempts,
            since_ms=line.began_ms or 0,
            worker=line.worker,
            failure=failure,
        )
    lock = await _lock_of(services, run, stage, held)
    limit = await _limit_of(services, stage, held)
    due_ms: int | None = held.due_ms
    if (
        held.state == "outage" and stage is not None
    ):  # its record has none: any copy of the message makes the attempt
        due_ms = await services.store.due_later(stage.queue, line.id)
    return JobAt(
        stage=line.stage,
        state=_state(held, lock, limit),  # type: ignore[arg-type]
        id=line.id,
        attempt=held.attempt,
        attempts=attempts,
        since_ms=_since_ms(held),
        worker=held.worker,
        until_ms=held.until_ms,
        due_ms=due_ms or 0,
        failure=failure,
        lock=lock,
        limit=limit,
        suspect=held.suspect,
        starts=held.starts,
    )


async def _lock_of(services: Services, run: StoredRun, stage: Stage | None, held: Standing) -> LockAt | None:
    if held.state != "waiting" or not held.needs:
        return None
    holder, name = await asyncio.gather(
        services.store.holder(held.needs), _lock_in_words(services, run, stage, held.needs)
    )
    if holder is None:
        return LockAt(name=name)
    return LockAt(
        name=name,
        run_id=holder.run_id,
        worker=holder.worker,
        since_ms=holder.since_ms,
        until_ms=holder.until_ms,
    )


async def _lock_in_words(services: Services, run: StoredRun, stage: Stage | None, key: str) -> str:
    """The lock as its stage names it, with the value that selects it: of that the store has a hash alone.

    So the input is read, and believed where it gives this lock; that of a child is not found by its stage.
    """
    lock = stage.lock if stage else None
    if stage is None or lock is None or lock.by is None:
        return key
    try:
        payload = bytes((await services.submitter.job_of(run, stage.name)).as_json().payload)
    except RerunImpossible:
        payload = b""
    if lock.key(payload) != key:
        return f"{lock.name} (by {lock.by})"
    return f"{lock.name} ({lock.by} {masked(lock.value(payload).decode())[:_MOST_OF_A_VALUE]})"


async def _limit_of(services: Services, stage: Stage | None, held: Standing) -> LimitAt | None:
    if held.state != "waiting" or not held.limit or stage is None:
        return None
    kind = AtMost if held.limit.split(":")[1:2] == ["n"] else Rate
    limit = next((it for it in stage.limits if isinstance(it, kind)), None)
    if limit is None:  # it has none any more: a worker takes the job from its line, or by its message
        return None
    every = limit.every if isinstance(limit, Rate) else None
    return LimitAt(most=limit.most, every=every, stands=await services.store.limit_key(held.limit))


def _state(held: Standing, lock: LockAt | None, limit: LimitAt | None) -> str:
    if held.state == "running":
        return "running" if held.until_ms else "queued"  # one that was handed back waits for a worker
    if held.state == "waiting":
        return "locked" if lock else "limited" if limit else "queued"
    return held.state if held.state in ("retrying", "outage") else "queued"


def _since_ms(held: Standing) -> int:
    if held.state == "waiting":
        return held.waiting_ms
    if held.state == "outage":
        return held.outage_ms or held.decided_ms
    return held.claimed_ms if held.state == "running" else held.decided_ms


def _last_failure(run: StoredRun, job_id: str) -> shapes.FailureLine | None:
    found = (it.failure for it in reversed(run.timeline) if it.failure is not None and it.job == job_id)
    failure = next(found, None)
    return None if failure is None else shapes.FailureLine(kind=failure.kind, text=failure.text)


def _queue_of(pipeline: Pipeline | None, stage: str) -> str:
    found = pipeline.stage(stage) if pipeline else None
    return found.queue if found else ""
