"""Derives the state of each stage from a run's events: pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from mousetrap.settings import masked
from mousetrap.shapes import Event, Progress


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


def waiting(names: Iterable[str]) -> Stages:
    """A run's stages before anything happened."""
    return tuple(StageSeen(name=name) for name in names)


def advance(stages: Stages, event: Event | Progress) -> Stages:
    """The stages after an event; a stage that is not known yet is added at the end."""
    if not event.stage:
        return stages
    if all(stage.name != event.stage for stage in stages):
        stages = (*stages, StageSeen(name=event.stage))
    return tuple(_after(stage, event) if stage.name == event.stage else stage for stage in stages)


def _after(stage: StageSeen, event: Event | Progress) -> StageSeen:
    if isinstance(event, Progress):
        if stage.state in ("done", "failed"):
            return stage  # it was sent before the stage ended
        return replace(stage, note=how_far(event))
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
    """Progress in words: `3 of 12 pages`, `40 %` when the whole is 1, `3 pages` when the total is unknown."""
    if progress.total == 1:
        return f"{progress.done:.0%} {progress.note}".strip()
    whole = f" of {progress.total:,.10g}" if progress.total is not None else ""
    return f"{progress.done:,.10g}{whole} {progress.note}".strip()
