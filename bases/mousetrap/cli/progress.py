"""What the stages of a run are doing, told from its events: pure, so that a screen can be drawn at any moment."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from mousetrap.shapes import Event, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSeen:
    """One stage, as it looks now."""

    name: str
    state: Literal["waiting", "running", "retrying", "done", "failed"] = "waiting"
    attempt: int = 0
    worker: str = ""
    #: Milliseconds since 1970, of the first start and the end.
    began_ms: int | None = None
    ended_ms: int | None = None
    #: What the handler says of itself, or why it failed.
    note: str = ""


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


def advance(stages: Stages, news: Event | Progress) -> Stages:
    """The stages after one more event; a stage that is met for the first time joins at the end."""
    if not news.stage:
        return stages
    if all(stage.name != news.stage for stage in stages):
        stages = (*stages, StageSeen(name=news.stage))
    return tuple(_after(stage, news) if stage.name == news.stage else stage for stage in stages)


def _after(stage: StageSeen, news: Event | Progress) -> StageSeen:
    if isinstance(news, Progress):
        if stage.state in ("done", "failed"):
            return stage  # it was on its way while the stage ended
        return replace(stage, note=how_far(news))
    state = _STATES.get(news.kind, stage.state)
    return replace(
        stage,
        state=state,
        attempt=news.attempt or stage.attempt,
        worker=news.worker or stage.worker,
        began_ms=stage.began_ms or (news.at_ms if state == "running" else None),
        ended_ms=news.at_ms if state in ("done", "failed") else None,
        note=news.failure.summary if news.failure else "",
    )


def how_far(progress: Progress) -> str:
    """Progress in words: `3 of 12 pages`, `40 %` when the whole is 1, `3 pages` when nobody knows the whole."""
    if progress.total == 1:
        return f"{progress.done:.0%} {progress.note}".strip()
    whole = f" of {progress.total:,.10g}" if progress.total is not None else ""
    return f"{progress.done:,.10g}{whole} {progress.note}".strip()
