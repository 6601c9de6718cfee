"""Derives which stage follows which, and what goes from one to another."""

from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from mousetrap.pipeline.after import edge_of, named
from mousetrap.pipeline.contract import schema
from mousetrap.pipeline.graph import Graph, Opened, edges
from mousetrap.pipeline.json_schema import JsonSchema, any_of
from mousetrap.pipeline.many import Counts
from mousetrap.pipeline.node import Node
from mousetrap.pipeline.stage import Fallback, Stage


def graph_of(stages: Sequence[Stage]) -> Graph:
    """The names of the stages, checked. Raises ValueError, with the edge and the fix."""
    others = fallbacks(stages)
    return Graph([Node(it.name, named(it.after), edge_of(it.after), others.get(it.name)) for it in stages])


def predecessors(stages: Sequence[Stage]) -> Mapping[str, tuple[str, ...]]:
    """The names of the stages that each one follows, by its name; none for the first, and for a fallback."""
    return edges([(stage.name, named(stage.after)) for stage in stages], set(fallbacks(stages).values()))


def fallbacks(stages: Sequence[Stage]) -> Mapping[str, str]:
    """The name of the stage that a run falls back to, by the stage whose jobs are given up."""
    return {it.name: it.on_failure.stage for it in stages if isinstance(it.on_failure, Fallback)}


def gives(stage: Stage) -> Any:
    """The contract of what goes on from a stage: null as well as its output where a failure is skipped."""
    return either([stage.output, NoneType]) if stage.on_failure == "skip" else stage.output


def may_end(stages: Sequence[Stage], graph: Graph, inside: tuple[Opened, ...]) -> bool:
    """Whether a way in these fans may end before its last stage, with null, as a stage on it has it of its failures."""
    return any(it.on_failure == "skip_after" and graph.opened[it.name] == inside for it in stages)


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


def result_of_run(stages: Sequence[Stage], graph: Graph) -> Any:
    """The contract of a run's result: the output of an end, or the counts of a fan-out that nothing joins."""
    results = [gives(stage) for stage in stages if stage.name in graph.ends and not graph.opened[stage.name]]
    if may_end(stages, graph, ()):
        results.append(NoneType)
    if any(fan.join is None for fan in graph.fans):
        results.append(Counts)
    return either(results)
