"""Refuses stages whose contracts cannot follow each other."""

import typing
from collections.abc import Mapping, Sequence
from inspect import isabstract
from types import NoneType
from typing import Any, is_typeddict

import msgspec

from mousetrap.pipeline.after import All, edge_of
from mousetrap.pipeline.contract import require_json_form, schema
from mousetrap.pipeline.edges import either, fallbacks, gives, graph_of, may_end, members, result_of_run
from mousetrap.pipeline.fallen import Fallen
from mousetrap.pipeline.gathered import Gathered, is_gathered
from mousetrap.pipeline.graph import Graph
from mousetrap.pipeline.json_schema import JsonSchema
from mousetrap.pipeline.many import item_of
from mousetrap.pipeline.stage import Stage
from mousetrap.pipeline.type_text import type_text, type_texts


def check_edges(pipeline: str, stages: Sequence[Stage]) -> None:
    """Raises ValueError, with the edge and the fix, for stages that cannot follow each other."""
    try:
        _check(stages)
    except ValueError as error:
        raise ValueError(f"pipeline {pipeline!r}: {error}") from error.__cause__


def _check(stages: Sequence[Stage]) -> None:
    graph, by_name = graph_of(stages), {stage.name: stage for stage in stages}
    for name, target in fallbacks(stages).items():
        _check_fallback(by_name[name], by_name[target])
    for stage in stages:
        _check_input(stage)
        _check_output(stage)
        if graph.opened[stage.name]:
            _check_lock(stage, graph.opened[stage.name][-1].opener)
    for stage in stages:
        _check_followers(stage, graph, by_name)
        before = [by_name[name] for name in graph.before[stage.name]]
        given = [_ended(each, stages, graph) for each in before]
        if edge_of(stage.after) == "gather":
            _check_gather(stage, before, either(given))
        elif edge_of(stage.after) == "join":
            _check_join(stage, dict(zip(graph.before[stage.name], given, strict=True)))
    require_json_form("the result, which is that of one of its ends,", result_of_run(stages, graph))


def _ended(stage: Stage, stages: Sequence[Stage], graph: Graph) -> Any:
    """The contract of what a way ends with whose last stage this is: null as well where it may end before."""
    ends = may_end(stages, graph, graph.opened[stage.name])
    return either([gives(stage), NoneType]) if ends else gives(stage)


def _check_fallback(stage: Stage, target: Stage) -> None:
    taken: Any = stage.input
    if not _is_known(taken) and target.input != Fallen[taken]:
        raise ValueError(
            f"stage {stage.name!r} falls back to {target.name!r}, which takes {type_text(target.input)}: make its input "
            f"Fallen[{type_text(taken)}], of what {stage.name!r} takes"
        )


def _check_input(stage: Stage) -> None:
    """What a stage takes of fan-outs."""
    if (item := item_of(stage.input)) is not None:
        raise ValueError(
            f"stage {stage.name!r} takes {type_text(stage.input)}: take {type_text(item)}, and write after=Each('stage'), or take a list"
        )
    if is_gathered(stage.input) and edge_of(stage.after) != "gather":
        raise ValueError(
            f"stage {stage.name!r} takes {type_text(stage.input)}, and joins nothing: write after=All('stage'), with the stage that the "
            "jobs of a fan-out end with"
        )
    if edge_of(stage.after) in ("gather", "join") and stage.serializer != "json":
        raise ValueError(
            f"stage {stage.name!r} joins jobs, and its input is JSON: leave out its serializer; the outputs keep theirs"
        )


def _check_output(stage: Stage) -> None:
    """What a stage gives of fan-outs."""
    if is_gathered(stage.output):
        raise ValueError(
            f"stage {stage.name!r} gives {type_text(stage.output)}, which a join takes and no stage gives: give what it makes of it"
        )
    if item_of(stage.output) is not None and stage.on_failure != "fail":
        raise ValueError(
            f"stage {stage.name!r} gives {type_text(stage.output)}, and what it has opened goes on when it is given up: leave out its "
            "on_failure, and catch in its handler what is to be left out"
        )


def _check_lock(stage: Stage, opener: str) -> None:
    """One of many jobs is not to end what all of them are done for."""
    if stage.lock is not None and stage.lock.on_conflict == "skip":
        raise ValueError(
            f'stage {stage.name!r} is in what {opener!r} opens, and its lock {stage.lock.name!r} has on_conflict="skip", which '
            'cancels the whole run, with all jobs beside it: write on_conflict="wait"; or to leave out that job alone '
            'on_conflict="dead-letter", with on_failure="skip" at the stage'
        )


def _check_followers(stage: Stage, graph: Graph, by_name: Mapping[str, Stage]) -> None:
    following = [by_name[name] for name in graph.after[stage.name]]
    kinds = {edge_of(each.after) for each in following}
    if kinds == {"each"}:
        _check_each(stage, following[0])
    elif (item := item_of(stage.output)) is not None:
        raise ValueError(
            f"stage {stage.name!r} gives {type_text(stage.output)}, and no stage takes its items: let one that takes {type_text(item)} follow "
            f"with after=Each({stage.name!r}), or give a list"
        )
    elif graph.fork(stage.name):
        for each in following:
            _check_fork(stage, each)
    elif kinds == {"one"} and len(following) == 1:
        _check_chain(stage, following[0])
    elif kinds == {"one"}:
        _check_branch(stage, following)


def _check_each(stage: Stage, following: Stage) -> None:
    item = item_of(stage.output)
    if _is_known(stage.output):
        return
    where = f"{following.name!r} takes each item of {stage.name!r}"
    if item is None:
        raise ValueError(
            f"{where}, which gives {type_text(stage.output)}: make its output Many[{type_text(following.input)}], and its handler a generator "
            "of these"
        )
    if item != following.input and members(item) != members(following.input):
        given, taken = type_texts(stage.output, following.input)
        raise ValueError(
            f"{where}, which gives {given}, but {following.name!r} takes {taken}: make them the same contract"
        )


def _check_gather(stage: Stage, before: Sequence[Stage], given: Any) -> None:
    if _is_known(given):
        return
    if isinstance(stage.after, All) and not stage.after.keep:
        if stage.input != Gathered[None]:
            raise ValueError(
                f"stage {stage.name!r} joins jobs whose outputs are not kept, but takes {type_text(stage.input)}: make its input "
                "Gathered[None], or leave out keep=False"
            )
        return
    expected: Any = Gathered[given]
    if stage.input != expected:
        names = " and ".join(repr(each.name) for each in before)
        taken, right, item = type_texts(stage.input, expected, given)
        raise ValueError(
            f"stage {stage.name!r} joins {names}, which {'give' if len(before) > 1 else 'gives'} {item}, but takes {taken}: make its "
            f"input {right}"
        )


def _check_join(stage: Stage, given: Mapping[str, Any]) -> None:
    """Its input is an object whose fields have the names of the stages, and their contracts."""
    if _is_known(stage.input):
        return
    names = list(given)
    where = f"stage {stage.name!r} joins {' and '.join(map(repr, names))}, and takes {type_text(stage.input)}"
    fields, required = _fields(stage.input)
    if missing := [name for name in names if name not in fields]:
        raise ValueError(
            f"{where}, which has no field {missing[0]!r}: make it a class with a field for each of these stages, by its name"
        )
    if extra := [name for name in required if name not in names]:
        raise ValueError(
            f"{where}, whose field {extra[0]!r} no stage gives: leave it out, or give it a default"
        )
    for name, contract in given.items():
        if (taken := fields[name]) != contract and members(taken) != members(contract):
            field, output = type_texts(taken, contract)
            raise ValueError(
                f"{where}, whose field {name!r} is {field}, but {name!r} gives {output}: make them the same contract"
            )


def _fields(contract: Any) -> tuple[Mapping[str, Any], Sequence[str]]:
    """The contracts of the fields of a class by their names in JSON, and the names of those that must be there."""
    try:
        hints = typing.get_type_hints(contract, include_extras=True) if isinstance(contract, type) else {}
    except Exception:  # noqa: BLE001  what resolves a class's annotations runs its module's code
        return {}, ()
    whole = schema(contract)
    name = str(whole.get("$ref", "")).rpartition("/")[2]
    shown = whole["$defs"][name] if name else whole
    return {key: hints[key] for key in hints if key in shown.get("properties", {})}, shown.get("required", ())


def _check_fork(stage: Stage, following: Stage) -> None:
    given = gives(stage)
    if stage.on_failure == "skip" and _is_known(stage.output):
        return
    if given != following.input:
        part = set(members(following.input)) < set(members(given))
        advice = (
            "as a run comes to one of them, write AnyOf in place of All, or take all of it"
            if part
            else "make them the same contract"
        )
        output, taken = type_texts(given, following.input)
        raise ValueError(
            f"stage {stage.name!r} gives {output} to each stage that follows it, as All joins them, but {following.name!r} takes "
            f"{taken}: {advice}"
        )


def _check_chain(stage: Stage, following: Stage) -> None:
    given = gives(stage)
    if stage.on_failure == "skip" and _is_known(stage.output):
        return
    if given != following.input:
        skips = ", as its failures are skipped" if stage.on_failure == "skip" else ""
        output, taken = type_texts(given, following.input)
        left = [each for each in members(given) if each not in members(following.input)]
        is_part = stage.on_failure != "skip" and 0 < len(left) < len(members(given))
        advice = f", or {_add_a_stage(stage, left)}" if is_part and all(map(_is_seen_in_values, left)) else ""
        raise ValueError(
            f"stage {stage.name!r} gives {output}{skips}, but {following.name!r} takes {taken}: make them the same contract{advice}"
        )


def _add_a_stage(stage: Stage, left: Sequence[Any]) -> str:
    """What to do with members of a stage's output that no stage takes."""
    return f"add a stage that takes {type_text(either(left))}, with after={stage.name!r}"


def _check_branch(stage: Stage, following: Sequence[Stage]) -> None:
    """Each member of the output is taken by one of the stages that follow, so that its type selects that."""
    if _is_known(stage.output):
        return
    given, names = members(gives(stage)), " and ".join(repr(each.name) for each in following)
    where = f"stage {stage.name!r} is followed by {names}"
    odd = [each for each in given if not _is_seen_in_values(each)]
    if len(given) < 2 or odd:
        what = f"{type_text(odd[0])} is no class of a value" if odd else f"it gives {type_text(stage.output)}"
        raise ValueError(
            f"{where}, and {what}: make its output a union of classes, as `Short | Long`, whose members say which of them runs; where all "
            f"of them are to run, join them in one stage with after=All({', '.join(repr(each.name) for each in following)})"
        )
    _check_members(where, stage, following)


def _check_members(where: str, stage: Stage, following: Sequence[Stage]) -> None:
    """Each member of the output has one taker, and the stages that follow take nothing else."""
    given = members(gives(stage))
    for member in given:
        takers = [each.name for each in following if member in members(each.input)]
        if not takers:
            raise ValueError(
                f"{where}, and none of them takes {type_text(member)}: {_add_a_stage(stage, [member])}, or leave it out of the output of "
                f"{stage.name!r}"
            )
        if len(takers) != 1:
            who = " and ".join(map(repr, takers))
            raise ValueError(
                f"{where}, and {who} both take {type_text(member)}: each member is taken by one stage"
            )
    for each in following:
        for member in members(each.input):
            if member not in given:
                raise ValueError(
                    f"{where}, and {each.name!r} takes {type_text(member)} too, which {stage.name!r} does not give: leave it out of "
                    f"the input of {each.name!r}"
                )


def _is_seen_in_values(member: Any) -> bool:
    """Whether what is read under it has it as its type: a TypedDict is read as a dict, and an abstract class as another one."""
    if not isinstance(member, type) or member in (Any, object, msgspec.Raw):
        return False
    return not (is_typeddict(member) or isabstract(member))


def _is_known(contract: Any) -> bool:
    """Whether it is of a manifest: the worker that wrote it has the types, and has checked them."""
    return isinstance(contract, JsonSchema)
