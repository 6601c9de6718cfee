"""Reads what the simulated store has of runs and jobs."""

import json
from collections.abc import Iterator
from typing import Any

from mousetrap.run_store.decode_run import by_name
from mousetrap.run_store.keys import fan_key, packed_events_key, packed_job_key, packed_run_key
from mousetrap.run_store.records import RUN_STATES, decode_job, decode_run
from mousetrap.testing.simulation.store_server import StoreServer

_HASH, _RUN, _JOB = "mousetrap:run:", ":run", ":job:"


def run_states(server: StoreServer) -> Iterator[tuple[str, str | None]]:
    """Each run with its state."""
    for key in server.names(_HASH):
        run = key.removeprefix(_HASH)
        if ":" not in run:
            yield run, server.field(key, "state")
    for key in server.names("mousetrap:{"):
        if key.endswith("}" + _RUN):
            run = key[len("mousetrap:{") : -len("}" + _RUN)]
            yield run, RUN_STATES[_string(server, key)[:1].decode()]


def run_number(server: StoreServer, run: str, name: str) -> int:
    """A fact of a run; 0 where it has none."""
    if (record := _string(server, packed_run_key(run))) is not None:
        return int(getattr(decode_run(record).facts, name))
    return int(server.field(f"{_HASH}{run}", name) or 0)


def fences(server: StoreServer) -> Iterator[tuple[str, int]]:
    """Each job and each lock with its fence."""
    for prefix in ("job", "lock"):
        for key in server.names(f"mousetrap:{prefix}:"):
            yield key, int(server.field(key, "fence") or 0)
    for key in server.names("mousetrap:{"):
        if "}" + _JOB in key:
            yield key, decode_job(_string(server, key)).fence


def decided_fence(server: StoreServer, run: str, job: str) -> int:
    """The fence under which a job is done; 0 for one that is not."""
    if (record := _string(server, packed_job_key(run, job))) is not None:
        held = decode_job(record)
        return held.fence if held.state == "done" else 0
    key = f"mousetrap:job:{job}"
    return int(server.field(key, "fence") or 0) if server.field(key, "state") == "done" else 0


def is_of_a_fan(server: StoreServer, run: str, job: str) -> bool:
    """Whether a job is in a fan, or has opened one."""
    record = _string(server, packed_job_key(run, job))
    in_one = record is not None and bool(decode_job(record).facts.fan)
    return in_one or fan_key(run, job) in server.names(fan_key(run, job))


def events(server: StoreServer, run: str) -> list[dict[bytes, bytes]]:
    """The events of a run that are recorded; of a packed run only those that do not follow from its records."""
    keys = (f"{_HASH}{run}:events", packed_events_key(run))
    return [by_name(fields) for key in keys for _, fields in server.command("XRANGE", key, "-", "+")]


def result(server: StoreServer, run: str) -> Any:
    """The result of a completed run; empty where there is none."""
    found = server.field(f"{_HASH}{run}", "result") if f"{_HASH}{run}" in server.names(_HASH) else None
    if found is not None:
        return json.loads(found)
    for key in server.names(packed_job_key(run, "")):
        job = decode_job(_string(server, key))
        if job.state == "done" and not job.facts.next:
            return json.loads(job.verdict)["output"]
    return {}


def _string(server: StoreServer, key: str) -> Any:
    return server.command("GET", key)
