"""Derives the attempts of jobs from the timeline of their run: pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mousetrap.shapes import Attempt, Event, FailureLine, JobLine, JobState

#: What the events that end an attempt mean.
_OUTCOMES = {"finished": "done", "retrying": "retrying", "gave_up": "failed", "handed_back": "handed back"}
#: The outcome of a job's last attempt, where its record alone shows it.
_BY_STATE = {JobState.DONE: "done", JobState.FAILED: "failed", JobState.RETRYING: "retrying"}
#: Attempts of one job that are shown: a dependency can be away for days.
_MOST = 100


def with_attempts(lines: Sequence[JobLine], timeline: Sequence[Event]) -> tuple[JobLine, ...]:
    """The lines with the attempts of their jobs."""
    found = _attempts(timeline)
    return tuple(replace(line, attempts=found.get(line.id) or _of_record(line)) for line in lines)


def _attempts(timeline: Sequence[Event]) -> Mapping[str, tuple[Attempt, ...]]:
    """By job, those that the timeline has the begin of: of a child it has ends alone."""
    found: defaultdict[str, list[Attempt]] = defaultdict(list)
    for event in timeline:
        if event.job is None:
            continue
        attempts = found[event.job]
        if event.kind == "started":
            attempts.append(
                Attempt(number=event.attempt or 1, worker=event.worker or "", began_ms=event.at_ms)
            )
        elif (outcome := _OUTCOMES.get(event.kind)) and attempts and not attempts[-1].outcome:
            attempts[-1] = replace(attempts[-1], ended_ms=event.at_ms, outcome=outcome, failure=_line(event))
    return {job: tuple(attempts[-_MOST:]) for job, attempts in found.items()}


def _of_record(line: JobLine) -> tuple[Attempt, ...]:
    """The last attempt, as the record of the job has it; none before the first."""
    if not line.attempt:
        return ()
    outcome = _BY_STATE.get(line.state, "")
    return (
        Attempt(
            number=line.attempt,
            worker=line.worker,
            began_ms=line.began_ms,
            ended_ms=line.ended_ms,
            outcome=outcome,
            failure=line.failure if outcome else None,
        ),
    )


def _line(event: Event) -> FailureLine | None:
    failure = event.failure
    return FailureLine(kind=failure.kind, text=failure.text) if failure else None
