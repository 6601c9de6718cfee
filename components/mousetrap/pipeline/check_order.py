"""Refuses stages that name what is not before them: pure."""

from collections.abc import Mapping, Sequence

from mousetrap.pipeline.node import Node


def check_fallbacks(nodes: Sequence[Node]) -> None:
    """A fallback comes later and follows nothing else, so that a run which falls back goes forward.

    Raises ValueError, with the edge and the fix.
    """
    names = [node.name for node in nodes]
    known = dict(zip(names, nodes, strict=True))
    for name, _, _, target in nodes:
        where = f"stage {name!r} falls back to {target!r}"
        if target is None:
            continue
        if target not in known:
            raise ValueError(f"{where}, which is no stage of it: its stages are: {', '.join(names)}")
        if names.index(target) <= names.index(name):
            raise ValueError(f"{where}, which does not come after it: put {target!r} behind {name!r}")
        if (after := known[target].after) is not None:
            followed = " and ".join(map(repr, after))
            raise ValueError(f"{where}, which also follows {followed}: leave out the `after` of {target!r}")


def check_order(nodes: Sequence[Node], before: Mapping[str, tuple[str, ...]]) -> None:
    """A stage follows stages that stand before it: so there is no cycle, and a run can come to every stage.

    Raises ValueError, with the edge and the fix.
    """
    if nodes[0].after is not None:
        raise ValueError(
            f"{nodes[0].name!r} is its first stage and follows nothing: leave out its `after`, or put the stage that a run starts "
            "with first"
        )
    known: list[str] = []
    for node in nodes:
        for name in before[node.name]:
            if name in known:
                continue
            later = name in before and name != node.name
            advice = f"put {name!r} before it" if later else f"the stages before it are: {', '.join(known)}"
            what = "comes after it" if later else "is itself" if name == node.name else "is no stage of it"
            raise ValueError(f"{node.name!r} follows {name!r}, which {what}: {advice}")
        known.append(node.name)
