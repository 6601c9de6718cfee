"""Decides which pipelines the manifests of several workers stand for: pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec

from mousetrap.pipeline import (
    ManifestBroken,
    Pipeline,
    PipelineManifest,
    Stage,
    StageManifest,
    all_of,
    pipeline_of,
)
from mousetrap.schedules import Schedule


class Read(NamedTuple):
    """A manifest, the pipeline for submitters that it gives, and its schedules."""

    manifest: PipelineManifest
    pipeline: Pipeline
    schedules: tuple[Schedule, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """The manifests that some workers share, by the pipeline's name."""

    pipelines: Mapping[str, Read]
    #: The live ones, the one that started last at the end.
    workers: tuple[str, ...]
    #: When that one started, and the last beat with these manifests, in milliseconds since 1970.
    started_ms: int
    seen_ms: int


@dataclass(frozen=True, slots=True)
class Known:
    """What can be submitted to, and why the rest cannot."""

    pipelines: Mapping[str, Pipeline] = field(default_factory=dict)
    #: By the name of a pipeline, how live workers contradict each other, and what helps.
    contradictions: Mapping[str, str] = field(default_factory=dict)
    #: By the same name, the patterns of the topics that one of those workers takes.
    contradicted_topics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: The schedules of manifests, by the pipeline's name; none for a pipeline of our own.
    schedules: Mapping[str, tuple[Schedule, ...]] = field(default_factory=dict)
    #: Live workers whose pipelines differ from our own of the same name.
    differences: tuple[str, ...] = ()


def judge(own: Mapping[str, Pipeline], sources: Iterable[Source]) -> Known:
    """Our own pipelines, and those of the manifests whose names we do not have ourselves.

    Live workers count; of a pipeline that none of them has, the manifests seen last do. Where live ones differ in contracts or
    limits alone, as in a rolling upgrade, an input must fit each of them; the limits, and which stage follows which, are those of the
    worker that started last, and so are the topics that it takes. Its schedules are those of all: a deployment without their file,
    or an older worker that starts again, pauses none. Where their stages or queues differ, nothing is accepted: half of the jobs
    would reach workers that do not know them.
    """
    ordered = sorted(sources, key=lambda it: (bool(it.workers), it.started_ms, it.seen_ms))
    pipelines, contradictions, topics = dict(own), dict[str, str](), dict[str, tuple[str, ...]]()
    schedules: dict[str, tuple[Schedule, ...]] = {}
    for name in sorted({name for source in ordered for name in source.pipelines} - own.keys()):
        having = [source for source in ordered if name in source.pipelines]
        live = [source for source in having if source.workers] or having[-1:]
        if reason := _contradiction(name, live):
            contradictions[name], topics[name] = reason, _topics(name, live)
            continue
        try:
            pipelines[name] = _merged([source.pipelines[name] for source in live])
            schedules[name] = _schedules(name, live)
        except ManifestBroken as error:
            contradictions[name] = (
                f"{_named(live[-1])} and others have it in forms that do not fit together: {error}"
            )
            topics[name] = _topics(name, live)
    return Known(pipelines, contradictions, topics, schedules, tuple(_differences(own, ordered)))


def _merged(reads: Sequence[Read]) -> Pipeline:
    """The last one, with contracts that are held to all; a stage that some of them skip may give null, or end its way."""
    last = reads[-1]
    stages = tuple(map(_merged_stage, zip(*(read.manifest.stages for read in reads), strict=True)))
    if stages == last.manifest.stages:
        return last.pipeline
    return pipeline_of(msgspec.structs.replace(last.manifest, stages=stages))


def _merged_stage(stages: Sequence[StageManifest]) -> StageManifest:
    return msgspec.structs.replace(
        stages[-1],
        input=_each_of([it.input for it in stages]),
        output=_each_of([it.output for it in stages]),
        skips=any(it.skips for it in stages) or msgspec.UNSET,
        skips_after=any(it.skips_after for it in stages) or msgspec.UNSET,
    )


def _topics(name: str, live: Sequence[Source]) -> tuple[str, ...]:
    return tuple(topic for source in live for topic in source.pipelines[name].pipeline.topics)


def _schedules(name: str, live: Sequence[Source]) -> tuple[Schedule, ...]:
    """Those of all; one that several have is that of the worker that started last."""
    named = {it.name: it for source in live for it in source.pipelines[name].schedules}
    return tuple(named.values())


def _each_of(schemas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    different: list[dict[str, Any]] = []
    for schema in schemas:
        if schema not in different:
            different.append(schema)
    return different[0] if len(different) == 1 else all_of(different)


def _contradiction(name: str, live: Sequence[Source]) -> str:
    """How two of these differ in stages or queues; empty where none do."""
    last = live[-1]
    for other in live:
        if found := _difference(other.pipelines[name].manifest.stages, last.pipelines[name].manifest.stages):
            theirs, ours = found
            return (
                f"{_named(other)} serves {name} with {theirs}, and {_named(last)} with {ours}: stop the worker that is not "
                "to be, or rename one of the two pipelines; jobs that wait are kept"
            )
    return ""


def _differences(own: Mapping[str, Pipeline], sources: Iterable[Source]) -> Iterator[str]:
    for source in sources:
        for name in sorted(source.pipelines.keys() & own.keys()) if source.workers else ():
            if found := _difference(source.pipelines[name].manifest.stages, own[name].stages):
                theirs, ours = found
                yield (
                    f"{_named(source)} serves {name} with {theirs}, and this server has it with {ours}, which counts: "
                    "deploy the same version of both"
                )


def _difference(
    theirs: Sequence[StageManifest | Stage], ours: Sequence[StageManifest | Stage]
) -> tuple[str, str] | None:
    """The first stages that differ in name or queue, of both; None where none do."""
    for place, pair in enumerate(zip_longest(theirs, ours), start=1):
        one, other = (f"{it.name} on queue {it.queue}" if it else "none" for it in pair)
        if one != other:
            return f"{one} as stage {place}", other
    return None


def _named(source: Source) -> str:
    if not source.workers:
        return "a worker that has left"
    more = len(source.workers) - 1
    return source.workers[-1] + (f" (and {more} more)" if more else "")
