"""Derives which stage follows which, and refuses what cannot run."""

from collections.abc import Container, Iterable, Mapping, Sequence
from inspect import isabstract
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, is_typeddict

import msgspec

from mousetrap.pipeline.contract import require_json_form, schema
from mousetrap.pipeline.fallen import Fallen
from mousetrap.pipeline.json_schema import JsonSchema, any_of
from mousetrap.pipeline.stage import Fallback, Stage, named


def predecessors(stages: Sequence[Stage]) -> Mapping[str, tuple[str, ...]]:
    """The names of the stages that each one may follow, by its name; none for the first."""
    return edges([(stage.name, named(stage.after)) for stage in stages], set(fallbacks(stages).values()))


def edges(
    stages: Iterable[tuple[str, tuple[str, ...] | None]], apart: Container[str]
) -> Mapping[str, tuple[str, ...]]:
    """The same for names, each with those that its stage names, or None for the one before it; `apart` are the fallbacks."""
    found: dict[str, tuple[str, ...]] = {}
    before: tuple[str, ...] = ()
    for name, after in stages:
        found[name] = after if after is not None else () if name in apart else before
        before = (name,)
    return found


def fallbacks(stages: Sequence[Stage]) -> Mapping[str, str]:
    """The name of the stage that a run falls back to, by the stage whose jobs are given up."""
    return {it.name: it.on_failure.stage for it in stages if isinstance(it.on_failure, Fallback)}


def gives(stage: Stage) -> Any:
    """The contract of what goes on from a stage: null as well as its output where a failure is skipped."""
    return either([stage.output, NoneType]) if stage.on_failure == "skip" else stage.output


def members(contract: Any) -> tuple[Any, ...]:
    """The members of a union; the contract itself where it is none. None is written for its type, as in an annotation."""
    if contract is None:
        return (NoneType,)
    return get_args(contract) if get_origin(contract) in (Union, UnionType) else (contract,)


def either(contracts: Sequence[Any]) -> Any:
    """The contract of a value that fits one of these."""
    different: list[Any] = []
    for contract in contracts:
        different += [each for each in members(contract) if each not in different]
    if len(different) == 1:
        return different[0]
    if any(isinstance(each, JsonSchema) for each in different):
        return JsonSchema(any_of([schema(each) for each in different]))
    return Union[tuple(different)]  # noqa: UP007  of as many as there are


def check_edges(pipeline: str, stages: Sequence[Stage]) -> None:
    """Raises ValueError, with the edge and the fix, for stages that cannot follow each other."""
    before = predecessors(stages)
    _check_fallbacks(pipeline, stages)
    _check_order(pipeline, stages, before)
    for stage in stages:
        following = [each for each in stages if stage.name in before[each.name]]
        if len(following) == 1:
            _check_chain(pipeline, stage, following[0])
        elif following:
            _check_branch(pipeline, stage, following)
    ends = [gives(stage) for stage in stages if not any(stage.name in names for names in before.values())]
    require_json_form(f"pipeline {pipeline!r}: the result, which is that of one of its ends,", either(ends))


def _check_fallbacks(pipeline: str, stages: Sequence[Stage]) -> None:
    """A fallback comes later and follows nothing else, so that a run which falls back goes forward."""
    names = [stage.name for stage in stages]
    known = dict(zip(names, stages, strict=True))
    for name, target in fallbacks(stages).items():
        where = f"pipeline {pipeline!r}: stage {name!r} falls back to {target!r}"
        if target not in known:
            raise ValueError(f"{where}, which is no stage of it: its stages are: {', '.join(names)}")
        if names.index(target) <= names.index(name):
            raise ValueError(f"{where}, which does not come after it: put {target!r} behind {name!r}")
        if (after := known[target].after) is not None:
            followed = " and ".join(map(repr, named(after) or ()))
            raise ValueError(f"{where}, which also follows {followed}: leave out the `after` of {target!r}")
        taken: Any = known[name].input
        if not _is_known(taken) and known[target].input != Fallen[taken]:
            raise ValueError(
                f"{where}, which takes {_shown(known[target].input)}: make its input Fallen[{_shown(taken)}], of what {name!r} takes"
            )


def _check_order(pipeline: str, stages: Sequence[Stage], before: Mapping[str, tuple[str, ...]]) -> None:
    """A stage follows stages that stand before it: so there is no cycle, and a run can come to every stage."""
    if stages[0].after is not None:
        raise ValueError(
            f"pipeline {pipeline!r}: {stages[0].name!r} is its first stage and follows nothing: leave out its `after`, or put "
            "the stage that a run starts with first"
        )
    known: list[str] = []
    for stage in stages:
        for name in before[stage.name]:
            if name in known:
                continue
            later = name in before and name != stage.name
            advice = f"put {name!r} before it" if later else f"the stages before it are: {', '.join(known)}"
            what = "comes after it" if later else "is itself" if name == stage.name else "is no stage of it"
            raise ValueError(
                f"pipeline {pipeline!r}: {stage.name!r} follows {name!r}, which {what}: {advice}"
            )
        known.append(stage.name)


def _check_chain(pipeline: str, stage: Stage, following: Stage) -> None:
    given = gives(stage)
    if stage.on_failure == "skip" and _is_known(stage.output):
        return
    if given != following.input:
        skips = ", as its failures are skipped" if stage.on_failure == "skip" else ""
        raise ValueError(
            f"pipeline {pipeline!r}: stage {stage.name!r} gives {_shown(given)}{skips}, "
            f"but {following.name!r} takes {_shown(following.input)}: make them the same contract"
        )


def _check_branch(pipeline: str, stage: Stage, following: Sequence[Stage]) -> None:
    """Each member of the output is taken by one of the stages that follow, so that its type selects that."""
    if _is_known(stage.output):
        return
    given, names = members(gives(stage)), " and ".join(repr(each.name) for each in following)
    where = f"pipeline {pipeline!r}: stage {stage.name!r} is followed by {names}"
    odd = [each for each in given if not _is_seen_in_values(each)]
    if len(given) < 2 or odd:
        what = f"{_shown(odd[0])} is no class of a value" if odd else f"it gives {_shown(stage.output)}"
        raise ValueError(
            f"{where}, and {what}: make its output a union of classes, as `Short | Long`, whose members say which of them runs"
        )
    for member in given:
        takers = [each.name for each in following if member in members(each.input)]
        if len(takers) != 1:
            who = " and ".join(map(repr, takers)) + " both take" if takers else "none of them takes"
            raise ValueError(f"{where}, and {who} {_shown(member)}: each member is taken by one stage")
    for each in following:
        for member in members(each.input):
            if member not in given:
                raise ValueError(
                    f"{where}, and {each.name!r} takes {_shown(member)} too, which {stage.name!r} does not give: leave it out of "
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


def _shown(contract: Any) -> str:
    if contract is NoneType:
        return "None"
    return str(contract)
