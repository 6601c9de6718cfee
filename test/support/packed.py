"""Makes jobs of wire format 5, and reads their packed records."""

import asyncio
import time
from typing import Any

import msgspec

from mousetrap.jobs import Job, first_job
from mousetrap.run_store import RunStore
from mousetrap.run_store.keys import packed_events_key, packed_job_key, packed_run_key
from mousetrap.run_store.records import JobRecord, RunRecord, decode_job, decode_run
from support.valkey import console, names


def packed(job: Job, parent_fence: int = 0) -> Job:
    """The job as one of wire format 5."""
    return msgspec.structs.replace(job, v=5, parent_fence=parent_fence or msgspec.UNSET)


def packed_first(
    run_id: str, payload: bytes = b"[1,2]", accepted_ms: int = 0, pipeline: str = "sums", **more: Any
) -> Job:
    """The first job of a run."""
    return packed(
        first_job(
            run_id=run_id, pipeline=pipeline, stage="add", payload=payload, accepted_ms=accepted_ms, **more
        )
    )


def packed_child(job: Job, fence: int, payload: bytes = b'{"sum":3}') -> Job:
    """The job at stage `double` that follows from a decision under `fence`."""
    return job.following("double", payload, fence=fence)


def run_record(url: str, run_id: str) -> RunRecord | None:
    """The run as the store has it."""
    with console(url) as client:
        record: Any = client.get(packed_run_key(run_id))
    return None if record is None else decode_run(record)


def job_record(url: str, job: Job) -> JobRecord | None:
    """The job as the store has it."""
    with console(url) as client:
        record: Any = client.get(packed_job_key(job.run_id, job.id))
    return None if record is None else decode_job(record)


def job_facts(url: str, job: Job) -> dict[str, Any]:
    """All facts of the job, those too that only Lua reads."""
    with console(url) as client:
        record: Any = client.get(packed_job_key(job.run_id, job.id))
    facts: dict[str, Any] = msgspec.json.decode(record[9:].partition(b"\n")[0])
    return facts


def events(url: str, run_id: str) -> list[str]:
    """The kinds of the events that the run's stream has after the one that it begins with."""
    with console(url) as client:
        entries: Any = client.xrange(packed_events_key(run_id))
    kinds = [fields[b"kind"].decode() for _, fields in entries]
    assert kinds[:1] in ([], ["accepted"])
    return kinds[1:]


def untimed(url: str) -> list[str]:
    """The keys without a time-to-live."""
    with console(url) as client:
        return [key for key in names(url, "mousetrap:*") if client.pttl(key) == -1]


async def passed(store: RunStore, moment_ms: int) -> None:
    """Returns once the moment is over for the machine, and for the store's client, whose time lags by a reply's way."""
    while min(time.time() * 1000, await store._packed_runs.now_ms()) <= moment_ms:  # noqa: ASYNC110  time alone ends it
        await asyncio.sleep(0.001)
