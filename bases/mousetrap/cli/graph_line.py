"""Writes which stage follows which on one line: pure."""

from collections.abc import Callable, Sequence

from mousetrap.pipeline import Pipeline

#: What a stage takes, where that is not the output of the stage before it.
_TAKES = {"each": "each item: ", "gather": "all items: "}


def graph_line(pipeline: Pipeline, label: Callable[[str], str]) -> str:
    """`look -> price and stock -> answer`, `find -> each item: read`; `label` describes a stage where it comes first."""
    flows, named = _flows(pipeline), set[str]()

    def names(stages: Sequence[str], word: str) -> str:
        described = [name if name in named else label(name) for name in stages]
        named.update(stages)
        return f" {word} ".join(described)

    last: tuple[str, ...] = (pipeline.first.name,)
    line = names(last, "")
    while flows:
        key = (last, False) if (last, False) in flows else next(iter(flows))
        kind, targets = flows.pop(key)
        if key != (last, False):
            line += f"; {names(key[0], 'and' if kind == 'join' else 'or')}"
        line += " given up" if kind == "fallback" else ""
        line += f" -> {_TAKES.get(kind, '')}{names(targets, 'and' if kind == 'fork' else 'or')}"
        last = tuple(targets)
    return line


def _flows(pipeline: Pipeline) -> dict[tuple[tuple[str, ...], bool], tuple[str, list[str]]]:
    """The stages that take what the same stages give; apart, what these fall back to."""
    flows: dict[tuple[tuple[str, ...], bool], tuple[str, list[str]]] = {}
    for stage in pipeline.stages:
        for is_fallback in (False, True):
            arrows = [
                arrow
                for arrow in pipeline.arrows
                if arrow.target == stage.name and (arrow.kind == "fallback") == is_fallback
            ]
            if arrows:
                sources = tuple(arrow.source for arrow in arrows)
                flows.setdefault((sources, is_fallback), (arrows[0].kind, []))[1].append(stage.name)
    return flows
