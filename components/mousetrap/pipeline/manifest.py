"""Writes a pipeline as plain data, readable without its code."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from mousetrap.pipeline.after import After, All, AnyOf, Each, edge_of, named
from mousetrap.pipeline.contract import schema
from mousetrap.pipeline.graph import Graph
from mousetrap.pipeline.json_schema import JsonSchema, any_of
from mousetrap.pipeline.limit import AtMost, Every, Limit, Rate
from mousetrap.pipeline.lock import Lock
from mousetrap.pipeline.many import Counts
from mousetrap.pipeline.model import Pipeline
from mousetrap.pipeline.node import Node
from mousetrap.pipeline.stage import Fallback, Stage
from mousetrap.retry import RetryPolicy

#: Bytes of JSON of all manifests of one worker; the example's takes five thousand.
MAX_MANIFEST_BYTES = 1_048_576
NO_SCHEDULES: Mapping[str, Sequence[Any]] = {}
#: The schema of null.
_NULL: dict[str, Any] = {"type": "null"}


class ManifestBroken(ValueError):
    """The manifest is no pipeline: its text names the place and the fix."""


class RetryManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a retry policy; its classes of errors are code, and stay with the worker."""

    attempts: int | None
    #: Seconds.
    base: float
    cap: float
    on_timeout: bool


class LimitManifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A limit: of jobs at once, or with `every` of those that begin in that time."""

    most: int
    every: Every | UnsetType = UNSET
    burst: int | None = None
    per: str | None = None
    fair: str | None = None


class StageManifest(msgspec.Struct, frozen=True, kw_only=True):
    """A stage; the contracts are JSON Schemas (draft 2020-12), times are seconds."""

    name: str
    queue: str
    input: dict[str, Any]
    output: dict[str, Any]
    retry: RetryManifest
    timeout: float | None = None
    soft_timeout: float | None = None
    lock: Lock | None = None
    #: How many of its jobs run at once, and how many begin in a time; not there where nothing limits them.
    limits: tuple[LimitManifest, ...] | UnsetType = UNSET
    #: The name of what writes its input; a submitter may write JSON all the same.
    serializer: str = "json"
    #: The stages of which it follows one; not there for the one before it.
    after: tuple[str, ...] | UnsetType = UNSET
    #: How it takes them: "each" item of a fan-out, "gather" its outputs, "join" the outputs of several that all run; not there where
    #: it takes the output of the one that comes. A version that knows none of these finds contracts that differ, and refuses it.
    edge: str | UnsetType = UNSET
    #: The share, or the whole number, of a fan-out's jobs that must be done; not there for all.
    need: int | float | UnsetType = UNSET
    #: Whether their outputs are kept for it; not there where they are.
    keep: bool | UnsetType = UNSET
    #: For how long these jobs may go on; not there for no end. A version that does not know it has the join wait for all of them.
    within: float | UnsetType = UNSET
    #: Whether the run goes on without the output of a job that is given up; and the stage that it falls back to then. Not there
    #: where the run fails.
    skips: bool | UnsetType = UNSET
    #: Whether nothing that follows it on its way runs then.
    skips_after: bool | UnsetType = UNSET
    fallback: str | UnsetType = UNSET


class PipelineManifest(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline. A member that this version does not know is ignored: a later one may write more."""

    name: str
    description: str
    stages: tuple[StageManifest, ...]
    expires_after: float | None = None
    #: The patterns of the topics that it takes; not there for none.
    topics: tuple[str, ...] | UnsetType = UNSET
    #: Its schedules as plain data; not there for none.
    schedules: tuple[dict[str, Any], ...] | UnsetType = UNSET


def manifest_of(pipeline: Pipeline, schedules: Sequence[Any] = ()) -> PipelineManifest:
    """The pipeline as data, with schedules of it. Raises TypeError for a contract that has no JSON Schema."""
    return PipelineManifest(
        name=pipeline.name,
        description=pipeline.description,
        stages=tuple(map(_stage, pipeline.stages)),
        expires_after=pipeline.expires_after,
        topics=pipeline.topics or UNSET,
        schedules=tuple(map(msgspec.to_builtins, schedules)) or UNSET,
    )


def result_of(manifest: PipelineManifest) -> dict[str, Any]:
    """The schema of a run's result: the output of the stage that nothing follows, or one of theirs."""
    stages = manifest.stages
    graph = Graph([_node(it) for it in stages])
    ends = [it for it in stages if it.name in graph.ends and not graph.opened[it.name]]
    counts = [schema(Counts)] * any(fan.join is None for fan in graph.fans)
    results: list[dict[str, Any]] = []
    ends_early = any(it.skips_after and not graph.opened[it.name] for it in stages)
    nulls = [_NULL] * (ends_early or any(it.skips for it in ends))
    for result in [it.output for it in ends] + nulls + counts:
        if result not in results:
            results.append(result)
    return results[0] if len(results) == 1 else any_of(results)


def write_manifests(
    pipelines: Mapping[str, Pipeline], schedules: Mapping[str, Sequence[Any]] = NO_SCHEDULES
) -> bytes:
    """The manifests of these pipelines as JSON, the same bytes for the same pipelines; their schedules by the pipeline's name.

    Raises ManifestBroken for more than MAX_MANIFEST_BYTES, and TypeError for a contract that has no JSON Schema.
    """
    manifests = [manifest_of(pipelines[name], schedules.get(name, ())) for name in sorted(pipelines)]
    raw = msgspec.json.encode(manifests, order="deterministic")
    _check_size(raw)
    return raw


def read_manifests(raw: bytes) -> tuple[PipelineManifest, ...]:
    """What `write_manifests` wrote. Raises ManifestBroken for anything else."""
    _check_size(raw)
    try:
        return msgspec.json.decode(raw, type=tuple[PipelineManifest, ...])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestBroken(f"it is no manifest: {error}") from error


def pipeline_of(manifest: PipelineManifest) -> Pipeline:
    """The pipeline for those who submit to it: its contracts are JSON Schemas.

    Raises ManifestBroken for a schema that is none, and for what no pipeline may be, as a queue's name or a limit.
    """
    try:
        return Pipeline(
            name=manifest.name,
            description=manifest.description,
            stages=tuple(map(_known_stage, manifest.stages)),
            expires_after=manifest.expires_after,
            topics=manifest.topics or (),
        )
    except ValueError as error:
        raise ManifestBroken(
            f"the manifest of pipeline {manifest.name[:64]!r} cannot be used: {str(error)[:500]}"
        ) from error


def _known_stage(stage: StageManifest) -> Stage:
    retry = stage.retry
    return Stage(
        name=stage.name,
        queue=stage.queue,
        input=JsonSchema(stage.input),
        output=JsonSchema(stage.output),
        retry=RetryPolicy(
            attempts=retry.attempts, base=retry.base, cap=retry.cap, on_timeout=retry.on_timeout
        ),
        timeout=stage.timeout,
        soft_timeout=stage.soft_timeout,
        lock=stage.lock,
        limit=None if stage.limits is UNSET else tuple(map(_limit, stage.limits)),
        after=_after(stage),
        on_failure=_on_failure(stage),
    )


def _on_failure(stage: StageManifest) -> Literal["fail", "skip", "skip_after"] | Fallback:
    if stage.fallback:
        return Fallback(stage.fallback)
    return "skip_after" if stage.skips_after else "skip" if stage.skips else "fail"


def _after(stage: StageManifest) -> After | None:
    names, need = stage.after, 1.0 if stage.need is UNSET else stage.need
    match stage.edge:
        case _ if names is UNSET:
            return None
        case "each":
            if len(names) != 1:
                raise ManifestBroken(
                    f"stage {stage.name!r} takes each item of {names!r}, and not of one stage"
                )
            return Each(names[0])
        case "gather":
            keep = stage.keep is UNSET or stage.keep
            last = names[0] if len(names) == 1 else AnyOf(*names)
            return All(last, need=need, keep=keep, within=_time(stage))
        case "join":
            return All(*names)
        case msgspec.UNSET:
            return names[0] if len(names) == 1 else AnyOf(*names)
    raise ManifestBroken(
        f"stage {stage.name!r} follows by {stage.edge!r}, which this version does not know: upgrade it"
    )


def _time(stage: StageManifest) -> timedelta | None:
    if stage.within is UNSET:
        return None
    try:
        return timedelta(seconds=stage.within)
    except OverflowError as error:
        raise ManifestBroken(
            f"stage {stage.name!r} waits for {stage.within:g} s, which is no time"
        ) from error


def _node(stage: StageManifest) -> Node:
    return Node(stage.name, stage.after or None, edge_of(_after(stage)), stage.fallback or None)


def _stage(stage: Stage) -> StageManifest:
    retry = stage.retry
    return StageManifest(
        name=stage.name,
        queue=stage.queue,
        input=schema(stage.input),
        output=schema(stage.output),
        retry=RetryManifest(
            attempts=retry.attempts, base=retry.base, cap=retry.cap, on_timeout=retry.on_timeout
        ),
        timeout=stage.timeout,
        soft_timeout=stage.soft_timeout,
        lock=stage.lock,
        limits=tuple(map(_limit_manifest, stage.limits)) or UNSET,
        serializer=stage.serializer if isinstance(stage.serializer, str) else stage.serializer.name,
        skips=stage.on_failure == "skip" or UNSET,
        skips_after=stage.on_failure == "skip_after" or UNSET,
        fallback=stage.on_failure.stage if isinstance(stage.on_failure, Fallback) else UNSET,
        **_edge(stage.after),
    )


def _limit(it: LimitManifest) -> Limit:
    if it.every is UNSET:
        return AtMost(it.most, per=it.per, fair=it.fair)
    return Rate(it.most, per=it.per, every=it.every, burst=it.burst, fair=it.fair)


def _limit_manifest(limit: Limit) -> LimitManifest:
    if isinstance(limit, AtMost):
        return LimitManifest(most=limit.most, per=limit.per, fair=limit.fair)
    return LimitManifest(
        most=limit.most, every=limit.every, burst=limit.burst, per=limit.per, fair=limit.fair
    )


def _edge(after: After | None) -> dict[str, Any]:
    """What a stage follows, and how it takes that: the members that are there."""
    kind = edge_of(after)
    members: dict[str, Any] = {"after": named(after) or UNSET, "edge": UNSET if kind == "one" else kind}
    if isinstance(after, All):
        members["need"] = UNSET if after.need == 1.0 else after.need
        members["keep"] = UNSET if after.keep else False
        members["within"] = after.within.total_seconds() if after.within else UNSET
    return members


def _check_size(raw: bytes) -> None:
    if len(raw) > MAX_MANIFEST_BYTES:
        raise ManifestBroken(
            f"the manifests of one worker take {len(raw):,} bytes, and at most {MAX_MANIFEST_BYTES:,} are read: "
            "serve fewer pipelines with it, or shorten their contracts' descriptions"
        )
