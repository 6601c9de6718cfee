"""Derives the state of each stage from a run's events: pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from mousetrap.settings import masked
from mousetrap.shapes import Event, Progress, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSeen:
    """One stage at this moment."""

    name: str
    state: Literal["waiting", "running", "retrying", "done", "failed"] = "waiting"
    attempt: int = 0
    worker: str = ""
    #: Milliseconds since 1970, of the first start and the end.
    began_ms: int | None = None
    ended_ms: int | None = None
    #: The handler's progress, or why it failed.
    note: str = ""
    #: The outermost stage whose children its jobs are; empty for a stage that a run has one job of.
    inside: str = ""


#: Characters of a yielded value that are shown.
_MAX_VALUE = 200

Stages = tuple[StageSeen, ...]

_STATES: dict[str, Literal["waiting", "running", "retrying", "done", "failed"]] = {
    "started": "running",
    "finished": "done",
    "retrying": "retrying",
    "handed_back": "waiting",
    "waiting": "waiting",
    "redriven": "waiting",
    "gave_up": "failed",
}

#: Events after which the children under way have all ended, or are not waited for.
_ENDS_CHILDREN: dict[str, Literal["done", "failed"]] = {"fired": "done", "failed": "failed"}


def waiting(names: Iterable[str]) -> Stages:
    """A run's stages before anything happened."""
    return tuple(StageSeen(name=name) for name in names)


def waiting_stages(stages: Iterable[Stage]) -> Stages:
    """The same, of stages as the API shows them."""
    return tuple(StageSeen(name=it.name, inside=it.inside[0] if it.inside else "") for it in stages)


def advance(stages: Stages, event: Event | Progress) -> Stages:
    """The stages after an event; a stage that is not known yet is added at the end."""
    if isinstance(event, Progress) and event.lost is not None:
        return _with_children(stages, event)
    if isinstance(event, Event) and event.kind in _ENDS_CHILDREN:
        return tuple(_children_ended(stage, event) for stage in stages)
    if not event.stage:
        return stages
    if isinstance(event, Event) and event.kind in ("opened", "closed"):
        return tuple(_opened(stage, event) for stage in stages)
    if all(stage.name != event.stage for stage in stages):
        stages = (*stages, StageSeen(name=event.stage))
    return tuple(_after(stage, event) if stage.name == event.stage else stage for stage in stages)


def shown_at(stages: Stages, progress: Progress) -> str:
    """The stage whose jobs this progress counts: the first of the children, or where they are not known, of their parent."""
    return next((it.name for it in stages if it.inside == progress.stage), progress.stage)


def _with_children(stages: Stages, progress: Progress) -> Stages:
    """The children of a stage's job are under way: those stages run, and the first of them has the counts."""
    first = shown_at(stages, progress)
    return tuple(
        replace(stage, state="running", ended_ms=None, note=how_far(progress) if stage.name == first else "")
        if stage.inside == progress.stage or stage.name == first
        else stage
        for stage in stages
    )


def _opened(stage: StageSeen, event: Event) -> StageSeen:
    """Children are under way, at the stages of their jobs."""
    if stage.inside != event.stage or stage.state == "running":
        return stage
    return replace(stage, state="running", began_ms=stage.began_ms or event.at_ms)


def _children_ended(stage: StageSeen, event: Event) -> StageSeen:
    """What all jobs of a fan-out came to, at the stages of its jobs."""
    if not stage.inside or stage.state != "running":
        return stage
    state = _ENDS_CHILDREN[event.kind]
    note = counts_in_words(event.value) if stage.note and event.kind == "fired" else stage.note
    return replace(stage, state=state, ended_ms=event.at_ms, note=note)


def _after(stage: StageSeen, event: Event | Progress) -> StageSeen:
    if isinstance(event, Progress):
        if stage.state in ("done", "failed"):
            return stage  # it was sent before the stage ended
        return replace(stage, note=how_far(event))
    if stage.inside:
        return stage  # it is about one of many jobs
    state = _STATES.get(event.kind, stage.state)
    return replace(
        stage,
        state=state,
        attempt=event.attempt or stage.attempt,
        worker=event.worker or stage.worker,
        began_ms=stage.began_ms or (event.at_ms if state == "running" else None),
        ended_ms=event.at_ms if state in ("done", "failed") else None,
        note=_note(event),
    )


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
        return _decided(progress.done, progress.total, progress.lost)
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
        return f"{total:,} children"
    return f"{done:,} of {total:,} done{f', {lost:,} lost' if lost else ''}"


def _decided(done: float, total: float | None, lost: int) -> str:
    whole = f" of {total:,.10g}" if total is not None else " so far"
    return f"{done:,.10g}{whole}{f', {lost:,} lost' if lost else ''}"
