"""Reads a run and its jobs into rows: a stage's attempt each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from mousetrap.shapes import Attempt, Event, Fan, JobLine, JobState, Pipeline, Run

#: What a job does in a part of its time. "delayed" is the pause before its next attempt and the queue after that: when the pause
#: was over is not kept.
PartKind = Literal["waited", "delayed", "locked", "ran", "failed", "lost"]
#: Attempts of one job that have rows: a dependency can be away for days.
_MOST_ATTEMPTS = 20
#: After these the job that follows is in its queue.
_LEADS_ON = ("accepted", "finished", "fired", "gave_up", "redriven")


@dataclass(frozen=True, slots=True)
class Part:
    """What a job did from when to when; one that goes on ends now."""

    kind: PartKind
    begin_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Span:
    """When a child ran."""

    begin_ms: int
    end_ms: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Rate:
    """From when to when so many children began."""

    begin_ms: int
    end_ms: int
    count: int

    @property
    def per_second(self) -> float:
        """How many, in the mean."""
        return self.count * 1000 / max(self.end_ms - self.begin_ms, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One attempt at a job; or all children that are listed of a stage; or a stage without a job so far."""

    #: Unlike that of every other row.
    name: str
    stage: str
    state: str = ""
    attempt: int | None = None
    worker: str = ""
    failure: str = ""
    parts: tuple[Part, ...] = ()
    #: Attempts before this one that have no row.
    earlier: int = 0
    #: Of a stage with many jobs: when those that are listed ran, how many are in each state, and of how many in all.
    spans: tuple[Span, ...] = ()
    #: Where those that are listed are a sample: how many began between two of them.
    rates: tuple[Rate, ...] = ()
    counts: Mapping[str, int] | None = None
    fan: Fan | None = None

    @property
    def times(self) -> Iterator[int]:
        """When each of its parts began and ended."""
        parts: tuple[Part | Span | Rate, ...] = (*self.parts, *self.spans, *self.rates)
        for part in parts:
            yield from (part.begin_ms, part.end_ms)

    @property
    def work(self) -> Iterator[tuple[int, int]]:
        """When a worker had it."""
        for part in self.parts:
            if part.kind in ("ran", "failed", "lost"):
                yield part.begin_ms, part.end_ms
        spans: tuple[Span | Rate, ...] = (*self.spans, *self.rates)
        for span in spans:
            yield span.begin_ms, span.end_ms


def rows_of(run: Run, jobs: Sequence[JobLine], pipeline: Pipeline | None, now_ms: int) -> tuple[Row, ...]:
    """The rows by stage, in the order of the jobs, which is that of the pipeline.

    `jobs` can be the first page of many: then the rows show these alone. While the run goes on, stages without a job have a row too.
    """
    end_ms = run.finished_ms or (run.updated_ms if run.state.ended else now_ms)
    by_stage: dict[str, list[JobLine]] = {}
    if pipeline is not None and not run.state.ended:
        by_stage = {stage.name: [] for stage in pipeline.stages}
    for job in jobs:
        by_stage.setdefault(job.stage, []).append(job)
    rows: list[Row] = []
    for stage, found in by_stage.items():
        match found:
            case []:
                rows.append(Row(name=stage, stage=stage))
            case [job]:
                rows += _rows(run, job, end_ms)
            case _:
                rows.append(_children(stage, found, _fan_of(run, stage, pipeline), end_ms))
    return tuple(rows)


def _fan_of(run: Run, stage: str, pipeline: Pipeline | None) -> Fan | None:
    """The counts of the fan-out whose jobs this stage has."""
    arrows = pipeline.arrows if pipeline is not None else ()
    opener = next((it.source for it in arrows if it.target == stage and it.kind == "each"), None)
    return next((fan for fan in run.fans if fan.stage == opener), None)


def _children(stage: str, jobs: Sequence[JobLine], fan: Fan | None, end_ms: int) -> Row:
    counts: dict[str, int] = {}
    for job in jobs:
        counts[job.state] = counts.get(job.state, 0) + 1
    if fan is not None and (fan.total or fan.opened) > len(jobs):
        rates = tuple(_rates(jobs, fan, end_ms))
        return Row(name=stage, stage=stage, rates=rates, counts=counts, fan=fan, state=_state(counts, fan))
    spans = tuple(
        Span(job.began_ms, max(job.ended_ms or end_ms, job.began_ms), job.state == JobState.FAILED)
        for job in jobs
        if job.began_ms is not None
    )
    return Row(name=stage, stage=stage, spans=spans, counts=counts, fan=fan, state=_state(counts, fan))


def _rates(jobs: Sequence[JobLine], fan: Fan, end_ms: int) -> Iterator[Rate]:
    """How fast they began, as their order is that of their index: between those that are listed, and since the last that began."""
    began = sorted((job.index[0], job.began_ms) for job in jobs if job.began_ms is not None and job.index)
    for (index, at_ms), (next_index, next_ms) in pairwise(began):
        if next_ms > at_ms:
            yield Rate(at_ms, next_ms, next_index - index)
    if began and (left := fan.done + fan.lost - began[-1][0]) > 0 and end_ms > began[-1][1]:
        yield Rate(began[-1][1], end_ms, left)


def _state(counts: Mapping[str, int], fan: Fan | None) -> str:
    """The state that a reader wants to know of first; the counts of the fan-out know of jobs that are not listed."""
    if fan is not None and fan.lost:
        return "failed"
    order = ("failed", "running", "retrying", "queued", "unreadable", "over", "done")
    return next((state for state in order if counts.get(state)), "")


def _rows(run: Run, job: JobLine, end_ms: int) -> Iterator[Row]:
    """One for each attempt, and one for the attempt that it waits for."""
    attempts = list(job.attempts)
    if job.state in (JobState.QUEUED, JobState.RETRYING):
        number = attempts[-1].number + 1 if attempts else 1
        attempts.append(Attempt(number=number))
    events = [event for event in run.timeline if event.job == job.id]
    earlier = max(len(attempts) - _MOST_ATTEMPTS, 0)
    for index in range(earlier, len(attempts)):
        attempt = attempts[index]
        after = attempts[index + 1] if index + 1 < len(attempts) else None
        before = attempts[index - 1] if index else None
        began_ms = attempt.began_ms if attempt.began_ms is not None else end_ms
        yield Row(
            name=f"{job.stage}-{index + 1}",
            stage=job.stage,
            state=attempt.outcome or ("lost" if after is not None and attempt.began_ms else job.state),
            attempt=attempt.number,
            worker=attempt.worker,
            failure=attempt.failure.summary if attempt.failure else "",
            parts=(*_waits(run, events, before, began_ms), *_work(attempt, after, end_ms)),
            earlier=earlier if index == earlier else 0,
        )


def _work(attempt: Attempt, after: Attempt | None, end_ms: int) -> Iterator[Part]:
    """What its worker did; without an end, while another attempt follows, the worker has not lived to end it."""
    if attempt.began_ms is None:
        return
    if attempt.ended_ms is None and after is not None and after.began_ms is not None:
        yield Part("lost", attempt.began_ms, max(after.began_ms, attempt.began_ms))
        return
    kind: PartKind = "failed" if attempt.outcome in ("retrying", "failed") else "ran"
    yield Part(kind, attempt.began_ms, max(attempt.ended_ms or end_ms, attempt.began_ms))


def _waits(run: Run, events: Sequence[Event], before: Attempt | None, began_ms: int) -> Iterator[Part]:
    """What it waited for, from when it came or its attempt before ended."""
    kind: PartKind | None
    if before is None:
        at_ms, kind = _came_ms(run, events, began_ms), "waited"
        if run.due_ms is not None and at_ms == run.accepted_ms < run.due_ms:
            due_ms = min(run.due_ms, began_ms)
            yield Part("delayed", at_ms, due_ms)
            at_ms = due_ms
    elif before.ended_ms is None:
        return
    else:
        at_ms = before.ended_ms
        kind = {"retrying": "delayed", "failed": None}.get(before.outcome, "waited")
    for event in events:
        if event.kind in ("waiting", "redriven") and at_ms <= event.at_ms < began_ms:
            if kind is not None and event.at_ms > at_ms:
                yield Part(kind, at_ms, event.at_ms)
            at_ms, kind = event.at_ms, "locked" if event.kind == "waiting" else "waited"
    if kind is not None and began_ms > at_ms:
        yield Part(kind, at_ms, began_ms)


def _came_ms(run: Run, own: Sequence[Event], began_ms: int) -> int:
    """When its message was sent: with the last that led on before it began."""
    mine = {event.id for event in own}
    first_ms = min((event.at_ms for event in own), default=began_ms)
    led = [
        event.at_ms
        for event in run.timeline
        if event.kind in _LEADS_ON and event.id not in mine and event.at_ms <= min(began_ms, first_ms)
    ]
    return max(led, default=min(run.accepted_ms, began_ms))
