"""Shows stored jobs as a list has them: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from mousetrap.jobs import Done, GiveUp, Job, Outcome, Place, RetryLater, first_job
from mousetrap.pipeline import Payload, shown_payload
from mousetrap.run_store.children import StoredJob
from mousetrap.run_store.damage import read_json
from mousetrap.run_store.decode_run import StoredRun
from mousetrap.run_store.records import JobRecord
from mousetrap.run_store.signed_records import read_verdict
from mousetrap.shapes import Failure, FailureLine, JobLine, JobState, RunState
from mousetrap.signing import Keyring, SignatureRefused

#: Of a record's state; all others wait in their queue.
_STATES = {
    "running": JobState.RUNNING,
    "done": JobState.DONE,
    "dead": JobState.FAILED,
    "retrying": JobState.RETRYING,
    "outage": JobState.RETRYING,
}
#: Of the event that a job had last; all others mean that it waits.
_BY_EVENT = {
    "started": JobState.RUNNING,
    "yielded": JobState.RUNNING,
    "truncated": JobState.RUNNING,
    "finished": JobState.DONE,
    "retrying": JobState.RETRYING,
    "gave_up": JobState.FAILED,
}
_NO_KEYS = Keyring()
_ENDED = (JobState.DONE, JobState.FAILED)
#: Runs of which no job is begun any more.
_STOPPED = (RunState.CANCELLED, RunState.EXPIRED, RunState.REJECTED)


@dataclass(frozen=True, slots=True)
class FoundJob:
    """A job, with its place among the children of others."""

    job: StoredJob
    index: tuple[int, ...] = ()
    key: str | None = None
    #: The job whose child it is, or comes after; empty for one in no fan.
    fan: str = ""
    #: Whether a fan that it is in has gone on without what was not decided.
    is_over: bool = False

    @property
    def size(self) -> int:
        """Bytes of what its record holds."""
        return len(self.job.record.verdict) if self.job.record else 0


class JobsShown:
    """Shows the jobs of one run; `keyring` has the keys that its outcomes are signed with."""

    def __init__(self, run: StoredRun, keyring: Keyring) -> None:
        self._keyring = keyring
        self._is_stopped = run.state in _STOPPED
        self._model = first_job(
            run_id=run.id, pipeline=run.pipeline, stage=run.first, payload=b"null", accepted_ms=0
        )

    def line(self, found: FoundJob) -> JobLine:
        """The job as a list shows it."""
        job, record = found.job, found.job.record
        about: dict[str, Any] = {"id": job.id, "stage": job.stage, "index": found.index, "key": found.key}
        if job.damage:
            return JobLine(**about, state=JobState.UNREADABLE, unreadable=job.damage)
        if record is None:
            return JobLine(**about, state=self._open(JobState.QUEUED, found))
        state = self._open(_state(record), found)
        facts = record.facts
        times: dict[str, Any] = {
            "began_ms": facts.claimed_ms or None,
            "ended_ms": facts.decided_ms or None if state in _ENDED else None,
        }
        outcome = self._outcome(found, record)
        return JobLine(**about, state=state, attempt=facts.attempt, worker=facts.worker, **times, **outcome)

    def _open(self, state: JobState, found: FoundJob) -> JobState:
        """Of a run that has stopped, no job goes on; nor does one begin that was gone on without, unless it was redriven since."""
        record = found.job.record
        is_over = found.is_over and state is not JobState.RUNNING and not (record and record.facts.generation)
        return JobState.OVER if state not in _ENDED and (self._is_stopped or is_over) else state

    def _outcome(self, found: FoundJob, record: JobRecord) -> dict[str, Any]:
        if not record.verdict:
            return {}
        try:
            outcome = read_verdict(record.verdict, self._signed(found, record), self._key_of(found, record))
        except SignatureRefused as error:
            return {"unreadable": str(error)}
        return _shown(outcome)

    def _key_of(self, found: FoundJob, record: JobRecord) -> Keyring:
        """The keys that its outcome is signed with; none for that of the run's last job, as no job follows from it."""
        is_last = record.state == "done" and not (record.facts.next or record.facts.opens or found.fan)
        return _NO_KEYS if is_last else self._keyring

    def _signed(self, found: FoundJob, record: JobRecord) -> Job:
        """What the signature of the job's outcome is about."""
        return msgspec.structs.replace(
            self._model,
            id=found.job.id,
            stage=found.job.stage,
            generation=record.facts.generation,
            fans=(Place(found.fan, found.index[-1]),) if found.fan else (),
        )


def lines_of_events(run: StoredRun) -> Sequence[JobLine]:
    """The jobs of a run whose records are not packed, by its timeline, without their outputs."""
    lines: dict[str, JobLine] = {}
    for event in run.timeline:
        if event.job is None:
            continue
        before = lines.get(event.job)
        state = _BY_EVENT.get(event.kind, JobState.QUEUED)
        lines[event.job] = JobLine(
            id=event.job,
            stage=event.stage or "",
            state=state if state in _ENDED or run.state not in _STOPPED else JobState.OVER,
            attempt=event.attempt or (before.attempt if before else 0),
            worker=event.worker or "",
            began_ms=event.at_ms if event.kind == "started" else before.began_ms if before else None,
            ended_ms=event.at_ms if state in _ENDED else None,
            failure=_line(event.failure),
        )
    return list(lines.values())


def _state(record: JobRecord) -> JobState:
    if record.state == "running" and not record.facts.until_ms:  # it was handed back
        return JobState.QUEUED
    return _STATES.get(record.state, JobState.QUEUED)


def _shown(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, RetryLater | GiveUp):
        return {"failure": _line(outcome.failure)}
    failed = outcome.instead_of
    failure = {} if failed is UNSET else {"failure": _line(failed.failure)}
    if outcome.reference is not UNSET:
        return {**failure, "output_reference": outcome.reference}
    value, fault = read_json(_output(outcome))
    return {**failure, "output": value, **({"unreadable": f"output: {fault}"} if fault else {})}


def _output(done: Done) -> bytes:
    return shown_payload(Payload(bytes(done.output), done.serializer))


def _line(failure: Failure | None) -> FailureLine | None:
    return FailureLine(kind=failure.kind, text=failure.text) if failure else None
