"""Derives each stage's state from a run's events and jobs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from mousetrap.settings import masked
from mousetrap.shapes import Event, Fan, JobLine, JobState, Progress, Stage

#: `goes on`: its run has failed, and what runs beside that goes on. `stopped`: its run has ended before it.
State = Literal[
    "waiting",
    "running",
    "retrying",
    "done",
    "failed",
    "skipped",
    "fell back",
    "stopped",
    "goes on",
    "not run",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSeen:
    """One stage at this moment."""

    name: str
    state: State = "waiting"
    #: Of the last event.
    job: str = ""
    attempt: int = 0
    worker: str = ""
    #: Milliseconds since 1970, of the first start and the end.
    began_ms: int | None = None
    ended_ms: int | None = None
    #: The handler's progress, or why it failed.
    note: str = ""
    #: The outermost stage whose children its jobs are; empty for a stage that a run has one job of.
    inside: str = ""
    #: Whether those are the branches of a fork: the timeline has none of their events, and their jobs are looked at.
    in_fork: bool = False
    #: Whether a run has a job of it for each item, of its own or of an outer fan-out.
    has_many: bool = False
    #: What a job of it that is given up means, where its run goes on.
    given_up: Literal["failed", "skipped", "fell back"] = "failed"
    #: How many of its jobs were given up, as far as the timeline has them.
    lost: int = 0


#: Characters of a yielded value that are shown.
_MAX_VALUE = 200

Stages = tuple[StageSeen, ...]

_STATES: Mapping[str, State] = {
    "started": "running",
    "finished": "done",
    "retrying": "retrying",
    "handed_back": "waiting",
    "waiting": "waiting",
    "redriven": "waiting",
    "gave_up": "failed",
}
_OF_JOBS: Mapping[JobState, State] = {
    JobState.QUEUED: "waiting",
    JobState.RUNNING: "running",
    JobState.RETRYING: "retrying",
    JobState.DONE: "done",
    JobState.FAILED: "failed",
    JobState.OVER: "stopped",
}
_OPEN = ("waiting", "running", "retrying")
_ENDED = ("done", "failed", "skipped", "fell back")


def waiting(names: Iterable[str]) -> Stages:
    """A run's stages before anything happened."""
    return tuple(StageSeen(name=name) for name in names)


def waiting_stages(stages: Sequence[Stage]) -> Stages:
    """The same, of stages as the API shows them."""
    fan_outs = {name for it in stages if it.edge == "each" for name in it.after}
    return tuple(
        StageSeen(
            name=it.name,
            inside=it.inside[0] if it.inside else "",
            in_fork=bool(it.inside) and it.inside[0] not in fan_outs,
            has_many=not fan_outs.isdisjoint(it.inside),
            given_up="skipped" if it.skips or it.skips_after else "fell back" if it.fallback else "failed",
        )
        for it in stages
    )


def advance(stages: Stages, event: Event | Progress) -> Stages:
    """The stages after an event; a stage that is not known yet is added at the end."""
    if isinstance(event, Progress) and event.lost is not None:
        return _with_children(stages, event)
    if isinstance(event, Event) and event.kind == "fired":
        opener = next((stage.name for stage in stages if event.job and stage.job == event.job), "")
        return tuple(_joined(stage, event) if stage.inside == opener else stage for stage in stages)
    if isinstance(event, Event) and event.kind == "failed":
        return tuple(_failed_after_all(stage, event) for stage in stages)
    if not event.stage:
        return stages
    if isinstance(event, Event) and event.kind in ("opened", "closed"):
        return tuple(_opened(stage, event) for stage in stages)
    if all(stage.name != event.stage for stage in stages):
        stages = (*stages, StageSeen(name=event.stage))
    return tuple(_after(stage, event) if stage.name == event.stage else stage for stage in stages)


def open_branches(stages: Stages) -> Sequence[str]:
    """The stages whose jobs are to be looked at from time to time: those of forks, until they have ended."""
    begun = {stage.name for stage in stages if stage.state in _ENDED}
    return [it.name for it in stages if it.in_fork and it.state in _OPEN and it.inside in begun]


def unsettled(stages: Stages, event: Event) -> Sequence[str]:
    """The stages of which only their jobs show what they came to with this event."""
    if event.kind == "fired":
        return [it.name for it in stages if it.inside and it.ended_ms == event.at_ms]
    if not event.last:
        return ()
    still_open = [it for it in stages if it.inside and it.state in _OPEN]
    openers = {it.inside for it in still_open if it.state == "running" and not it.in_fork}
    return [*(it.name for it in stages if it.name in openers), *(it.name for it in still_open)]


def with_jobs(stages: Stages, jobs: Mapping[str, JobLine | None], *, decided: bool) -> Stages:
    """The stages, with the first job of some of them; None for no job, and once all is `decided` there will be none."""
    seen = tuple(
        _with_job(stage, jobs[stage.name], decided=decided) if stage.name in jobs and stage.inside else stage
        for stage in stages
    )
    for job in jobs.values():
        if job is not None and job.children is not None:
            seen = _with_fan(seen, job.children)
    return seen


def ended(stages: Stages, end: Event) -> Stages:
    """The stages of a run that has ended with this event."""
    last = (_at_the_end(stage, end.kind) for stage in stages)
    return tuple(
        replace(it, ended_ms=end.at_ms) if it.began_ms and it.ended_ms is None else it for it in last
    )


def shown_at(stages: Stages, progress: Progress) -> str:
    """The stage whose jobs this progress counts: the first that takes items. Of branches, or where that is not known, their parent."""
    return next((it.name for it in stages if it.inside == progress.stage and not it.in_fork), progress.stage)


def _with_children(stages: Stages, progress: Progress) -> Stages:
    """The children of a stage's job are under way: those stages run, and the first of them has the counts."""
    first = shown_at(stages, progress)
    return tuple(
        replace(stage, state="running", ended_ms=None, note=how_far(progress) if stage.name == first else "")
        if not stage.in_fork and stage.inside and stage.inside == progress.stage
        else stage
        for stage in stages
    )


def _with_fan(stages: Stages, fan: Fan) -> Stages:
    """How far the jobs of a fan-out are when their run has failed; once all are decided, nothing of them goes on."""
    counts = Progress(stage=fan.stage, done=fan.done, total=fan.total, lost=fan.lost)
    first, is_over = shown_at(stages, counts), fan.done + fan.lost == fan.total
    return tuple(
        replace(
            it,
            state=it.state if not is_over else "failed" if it.lost else "done",
            note=_with_need(how_far(counts), fan) if it.name == first else _lost_in_words(it),
        )
        if it.inside == fan.stage and not it.in_fork and it.state == "running"
        else it
        for it in stages
    )


def _with_need(note: str, fan: Fan) -> str:
    return f"{note}: needs {fan.needs:,} done" if fan.is_short else note


def _opened(stage: StageSeen, event: Event) -> StageSeen:
    """Items have jobs from now on, at these stages; or there are none."""
    if stage.inside != event.stage or stage.in_fork:
        return stage
    if event.kind == "closed" and isinstance(event.value, dict) and event.value.get("total") == 0:
        return replace(stage, state="not run", began_ms=None)
    return replace(stage, state="running", began_ms=stage.began_ms or event.at_ms)


def _joined(stage: StageSeen, event: Event) -> StageSeen:
    """What all jobs of a fan came to, at the stages of its jobs. Of branches it is not known before their jobs are looked at."""
    if not stage.inside or stage.state not in _OPEN:
        return stage
    note = counts_in_words(event.value) if stage.note and stage.has_many else _lost_in_words(stage)
    return replace(stage, state="done", ended_ms=event.at_ms, note=note)


def _failed_after_all(stage: StageSeen, event: Event) -> StageSeen:
    """What would have been skipped, or fallen back from, was the run's end: it could not be handed on."""
    handed_on = stage.state in ("skipped", "fell back") and stage.ended_ms == event.at_ms and not stage.inside
    return replace(stage, state="failed") if handed_on else stage


def _after(stage: StageSeen, event: Event | Progress) -> StageSeen:
    if isinstance(event, Progress):
        if stage.state not in _OPEN:
            return stage  # it was sent before the stage ended
        return replace(stage, note=how_far(event))
    if stage.has_many:
        return replace(stage, lost=max(0, stage.lost + {"gave_up": 1, "redriven": -1}.get(event.kind, 0)))
    state = _STATES.get(event.kind, stage.state)
    return replace(
        stage,
        state=stage.given_up if state == "failed" else state,
        job=event.job or stage.job,
        attempt=event.attempt or stage.attempt,
        worker=event.worker or stage.worker,
        began_ms=stage.began_ms or (event.at_ms if state == "running" else None),
        ended_ms=event.at_ms if state in ("done", "failed") else None,
        note=_note(event),
    )


def _with_job(stage: StageSeen, job: JobLine | None, *, decided: bool) -> StageSeen:
    if job is None:
        return replace(stage, state="not run", began_ms=None, ended_ms=None, note="") if decided else stage
    if stage.has_many or job.state not in _OF_JOBS:
        return replace(stage, state="running") if stage.state == "waiting" else stage
    return replace(
        stage,
        state=state_of(job),
        attempt=job.attempt,
        worker=job.worker,
        began_ms=stage.began_ms or job.began_ms,
        ended_ms=job.ended_ms,
        note=job.failure.summary if job.failure else "",
    )


def state_of(job: JobLine) -> State:
    """The state of a job; one that is done in place of its failure has what became of it."""
    if job.state == "done" and job.failure:
        return "skipped" if job.output is None and job.output_reference is None else "fell back"
    return _OF_JOBS.get(job.state, "waiting")


def _at_the_end(stage: StageSeen, kind: str) -> StageSeen:
    if stage.state not in _OPEN:
        return stage
    if kind == "failed" and stage.lost:
        return replace(stage, state="failed", note=stage.note or _lost_in_words(stage))
    if kind == "failed" and stage.inside:
        return replace(stage, state="goes on")
    return replace(stage, state="not run" if stage.state == "waiting" else "stopped")


def _lost_in_words(stage: StageSeen) -> str:
    """How many of many jobs were given up: the timeline has a hundred of a fan at most."""
    words = {"failed": "given up", "skipped": "skipped", "fell back": "fell back"}
    return f"{stage.lost} {words[stage.given_up]}" if stage.lost and stage.has_many else ""


def one_line_value(value: Any) -> str:
    """A yielded value on one line, its beginning if it is long, without passwords."""
    text = masked(msgspec.json.encode(value).decode())
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"


def _note(event: Event) -> str:
    if event.kind == "yielded":
        return one_line_value(event.value)
    return event.failure.summary if event.failure else ""


def how_far(progress: Progress) -> str:
    """Progress in words: `3 of 12 pages`, `40 %` when the whole is 1, `3 pages` when the total is unknown, `7 of 9, 2 lost`."""
    if progress.lost is not None:
        return _decided(progress.done + progress.lost, progress.total, progress.lost)
    if progress.total == 1:
        return f"{progress.done:.0%} {progress.note}".strip()
    whole = f" of {progress.total:,.10g}" if progress.total is not None else ""
    return f"{progress.done:,.10g}{whole} {progress.note}".strip()


def counts_in_words(counts: Any) -> str:
    """What an event counts of children: `9 children`, `7 of 9 done, 2 lost`."""
    if not isinstance(counts, dict) or not isinstance(total := counts.get("total"), int):
        return ""
    done, lost = counts.get("done"), counts.get("lost")
    if not isinstance(done, int) or not isinstance(lost, int):
        return f"{total:,} {'child' if total == 1 else 'children'}"
    return f"{done:,} of {total:,} done{f', {lost:,} lost' if lost else ''}"


def _decided(ended: float, total: float | None, lost: int) -> str:
    whole = f" of {total:,.10g}" if total is not None else " so far"
    return f"{ended:,.10g}{whole}{f', {lost:,} lost' if lost else ''}"
