"""Compares the pipelines of two versions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from msgspec import UNSET

from mousetrap.contract_changes.accepts import accepts
from mousetrap.pipeline import PipelineManifest, StageManifest, result_of


class Direction(StrEnum):
    """Who cannot read whom."""

    #: A new worker, what was written before the deploy: queued jobs, kept inputs of re-runs.
    QUEUED = "queued"
    #: An old worker that still runs, what a new process writes: while a deploy rolls, and after it was taken back.
    ROLLING = "rolling"
    #: A reader of results that knows the old contract.
    RESULTS = "results"


#: How to deploy a change safely, by who cannot read whom.
ADVICE = {
    Direction.QUEUED: "let the queue run empty before the new workers start, or keep the old stage beside a new one of another "
    "name and queue until its jobs are done",
    Direction.ROLLING: "stop the old workers of this stage before any new process starts, or deploy in two steps: first "
    "workers that read both forms, then what writes the new one",
    Direction.RESULTS: "change the readers of results first",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change between two versions."""

    pipeline: str
    stage: str
    #: A JSON path in the stage's input, or in the result; empty for the stage itself.
    where: str
    what: str
    #: None for a change that breaks nothing.
    breaks: Direction | None

    @property
    def advice(self) -> str:
        """How to deploy it safely; empty for a change that breaks nothing."""
        return ADVICE[self.breaks] if self.breaks else ""


def compare(old: Sequence[PipelineManifest], new: Sequence[PipelineManifest]) -> tuple[Change, ...]:
    """Every change from `old` to `new`, those that break something first."""
    now = {pipeline.name: pipeline for pipeline in new}
    before = {pipeline.name: pipeline for pipeline in old}
    changes = [change for pipeline in old for change in _pipeline(pipeline, now.get(pipeline.name))]
    changes += [_change(name, "", "the pipeline is new") for name in now if name not in before]
    return tuple(sorted(changes, key=lambda change: change.breaks is None))


def _change(pipeline: str, stage: str, what: str, breaks: Direction | None = None, where: str = "") -> Change:
    return Change(pipeline=pipeline, stage=stage, where=where, what=what, breaks=breaks)


def _pipeline(old: PipelineManifest, new: PipelineManifest | None) -> Iterator[Change]:
    if new is None:
        yield _change(old.name, "", "the pipeline is removed: its jobs have no handler", Direction.QUEUED)
        return
    now = {stage.name: stage for stage in new.stages}
    by_queue = {stage.queue: stage.name for stage in new.stages}
    for stage in old.stages:
        if stage.name in now:
            yield from _stage(old.name, stage, now[stage.name])
            continue
        renamed = by_queue.get(stage.queue)
        what = f"the stage is renamed to {renamed}" if renamed else "the stage is removed"
        yield _change(
            old.name, stage.name, f"{what}: its jobs become dead letters (unknown-stage)", Direction.QUEUED
        )
    names = [stage.name for stage in old.stages]
    yield from (_change(new.name, name, "the stage is new") for name in now if name not in names)
    yield from _contract(old.name, old.stages[-1].name, "result", (result_of(old), result_of(new)))


def _stage(pipeline: str, old: StageManifest, new: StageManifest) -> Iterator[Change]:
    if old.queue != new.queue:
        what = f"its queue was {old.queue}, and is {new.queue}: jobs of the old queue have no worker"
        yield _change(pipeline, old.name, what, Direction.QUEUED)
        yield _change(
            pipeline, old.name, f"its queue is {new.queue}, which no old worker serves", Direction.ROLLING
        )
    before, now = ((it.after, it.edge, it.need, it.keep, it.within) for it in (old, new))
    if before != now:
        yield _change(pipeline, old.name, f"it followed {_edge(old)}, and follows {_edge(new)}")
    if _failure(old) != _failure(new):
        yield _change(pipeline, old.name, f"a job given up {_failure(old)} before, and now {_failure(new)}")
    if old.serializer != new.serializer:
        yield from _serializer(pipeline, old, new)
    yield from _contract(pipeline, old.name, "input", (old.input, new.input))
    if old.retry.attempts != new.retry.attempts:
        yield _change(pipeline, old.name, f"attempts were {old.retry.attempts}, and are {new.retry.attempts}")


def _edge(stage: StageManifest) -> str:
    names = stage.after or ()
    if stage.edge == "gather":
        need = f" ({stage.need} needed)" if stage.need is not UNSET else ""
        counts = "the counts of " if stage.keep is False else ""
        within = f" within {stage.within:g} s" if stage.within is not UNSET else ""
        return f"{counts}all of {' or '.join(names)}{need}{within}"
    if stage.edge == "join":
        return " and ".join(names)
    each = "each of " if stage.edge == "each" else ""
    return f"{each}{' or '.join(names)}" if names else "the stage before it"


def _failure(stage: StageManifest) -> str:
    if stage.fallback:
        return f"led to {stage.fallback}"
    if stage.skips_after:
        return "was skipped with all after it"
    return "was skipped" if stage.skips else "failed its run"


def _serializer(pipeline: str, old: StageManifest, new: StageManifest) -> Iterator[Change]:
    """JSON and msgpack are read by every stage; a serializer of a user's own by its stage alone."""
    own = {old.serializer, new.serializer} - {"json", "msgpack"}
    what = f"its serializer was {old.serializer}, and is {new.serializer}"
    if old.serializer in own:
        yield _change(pipeline, old.name, what, Direction.QUEUED)
    if new.serializer in own:
        yield _change(pipeline, old.name, what, Direction.ROLLING)
    if not own:
        yield _change(pipeline, old.name, what)


def _contract(
    pipeline: str, stage: str, part: str, both: tuple[dict[str, object], dict[str, object]]
) -> Iterator[Change]:
    old, new = both
    broken = False
    first, second = (Direction.QUEUED, Direction.ROLLING) if part == "input" else (None, Direction.RESULTS)
    for direction, reader, writer in ((first, new, old), (second, old, new)):
        for where, what in accepts(reader, writer) if direction else ():
            broken = True
            yield _change(pipeline, stage, what, direction, f"{part} {where}")
    if old != new and not broken:
        yield _change(pipeline, stage, f"the contract of its {part} changed", where=f"{part} $")
