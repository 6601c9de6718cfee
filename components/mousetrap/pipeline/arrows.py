"""Lists what leads from stage to stage."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from mousetrap.pipeline.after import edge_of
from mousetrap.pipeline.edges import fallbacks, graph_of
from mousetrap.pipeline.stage import Stage

#: What goes along it: the output, to the only stage that follows; to the one that takes its type; to all of several; each item of
#: it; the outputs of a fan-out, once its jobs have ended; those of the branches of a fork; a failure.
ArrowKind = Literal["next", "branch", "fork", "each", "gather", "join", "fallback"]


class Arrow(NamedTuple):
    """From one stage to another."""

    source: str
    target: str
    kind: ArrowKind


def arrows_of(stages: Sequence[Stage]) -> Iterator[Arrow]:
    """All of them, by the order of the stages that they lead to."""
    graph = graph_of(stages)
    origins = fallbacks(stages)
    for stage in stages:
        edge = edge_of(stage.after)
        for source in graph.before[stage.name]:
            several: ArrowKind = "fork" if graph.fork(source) else "branch"
            alone: ArrowKind = several if len(graph.after[source]) > 1 else "next"
            yield Arrow(source, stage.name, alone if edge == "one" else edge)
        for source, target in origins.items():
            if target == stage.name:
                yield Arrow(source, target, "fallback")
