"""Gives a packed run the fields of one of the older family."""

from typing import Any

import msgspec

from mousetrap.jobs import Done
from mousetrap.run_store.decode_run import StoredRun, read_run
from mousetrap.run_store.packed.chain import Chain
from mousetrap.run_store.packed.fan_state import FanState
from mousetrap.run_store.records import JobRecord, RunRecord
from mousetrap.shapes import Event

#: States of a live run, by its last job's. A done job's run waits for the next stage, or has completed since it was read.
_LIVE = {"retrying": "retrying", "outage": "retrying", "dead": "failed"}


def shown(
    run_id: str,
    run: RunRecord,
    chain: Chain,
    progress: bytes | None,
    *,
    timeline: tuple[Event, ...] = (),
    damage: tuple[str, ...] = (),
    fan: FanState | None = None,
) -> StoredRun:
    """The run with its input and its result, which of one that ended with the children of its last job are the counts of `fan`."""
    result, faults = _result(run, chain) if fan is None else (_counts(run, fan), ())
    fields = {
        **_line(run, chain, progress),
        **result,
        "first": run.facts.stage,
        "expires_ms": run.facts.expires_ms,
        "rerun_of": run.facts.rerun_of,
        "trace": run.facts.trace,
        "input": run.input,
        "input_reference": run.facts.input_reference,
    }
    return read_run(run_id, _as_bytes(fields), timeline, (*damage, *filter(None, [chain.damage]), *faults))


def line(run_id: str, run: RunRecord, chain: Chain, progress: bytes | None) -> StoredRun:
    """The run as a list shows it."""
    fields = _as_bytes(_line(run, chain, progress))
    return read_run(run_id, fields, damage=tuple(filter(None, [chain.damage])))


def _line(run: RunRecord, chain: Chain, progress: bytes | None) -> dict[str, Any]:
    facts, tail = run.facts, chain.tail
    state = _live_state(tail) if run.state == "queued" and tail else run.state
    changed_ms = max(tail.facts.claimed_ms, tail.facts.decided_ms) if tail else 0
    finished_ms = facts.finished_ms
    if state in ("completed", "failed") and not finished_ms and tail:
        finished_ms = tail.facts.decided_ms
    return {
        "pipeline": facts.pipeline,
        "state": state,
        "stage": chain.stage or facts.stage,
        "worker": tail.facts.worker if tail else "",
        "accepted_ms": facts.accepted_ms,
        "updated_ms": max(facts.accepted_ms, finished_ms, changed_ms),
        "finished_ms": finished_ms,
        "failure": facts.failure,
        "progress": progress,
        "due_ms": facts.due_ms,
        "tags": facts.tags,
        "priority": str(facts.priority),
    }


def _live_state(tail: JobRecord) -> str:
    """The state of a run that has not ended, by its last job."""
    if tail.state == "running":
        return "running" if tail.facts.until_ms else "queued"  # one that was handed back waits for a worker
    if tail.state == "done" and tail.facts.opens:  # its children are under way
        return "running"
    if tail.state == "done" and not tail.facts.next:
        return "completed"
    return _LIVE.get(tail.state, "queued")


def _result(run: RunRecord, chain: Chain) -> tuple[dict[str, bytes], tuple[str, ...]]:
    if run.state != "completed":
        return {}, ()
    verdict = chain.tail.verdict if chain.tail and chain.tail.state == "done" else b""
    try:
        done = msgspec.json.decode(verdict, type=Done)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return {}, (f"result: {error if verdict else 'the record of the last job is missing'}",)
    reference = b"" if isinstance(done.reference, msgspec.UnsetType) else msgspec.json.encode(done.reference)
    return {"result": bytes(done.output), "result_reference": reference}, ()


def _counts(run: RunRecord, fan: FanState) -> dict[str, bytes]:
    if run.state != "completed":
        return {}
    return {"result": msgspec.json.encode({"total": fan.total, "done": fan.done, "lost": fan.lost})}


def _as_bytes(fields: dict[str, Any]) -> dict[bytes, bytes]:
    """What is empty or 0 is not there."""
    return {
        name.encode(): value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        for name, value in fields.items()
        if value
    }
