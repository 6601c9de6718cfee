"""Finds where each slot stands along its layer."""

from collections.abc import Sequence

from mousetrap.graph_layout.layers import Layered, Slot

_SWEEPS = 6
#: How much more a lane keeps its line than a box its place: a straight line is easy to follow.
_LANE_WEIGHT = 4.0


def place(graph: Layered, gap: float) -> None:
    """Sets the middle of each slot, none nearer to the next than `gap`; the first one ends at 0 or below."""
    for layer in graph.layers:
        _settle(layer, [0.0] * len(layer), gap)
    for sweep in range(_SWEEPS):
        for layer in graph.layers if sweep % 2 == 0 else reversed(graph.layers):
            _settle(layer, [_wanted(slot) for slot in layer], gap)
    least = min((slot.at - slot.size / 2 for layer in graph.layers for slot in layer), default=0.0)
    for layer in graph.layers:
        for slot in layer:
            slot.at -= least


def _wanted(slot: Slot) -> float:
    """The middle of its neighbours on both sides; each side counts alike."""
    sides = [sum(each.at for each in side) / len(side) for side in (slot.before, slot.after) if side]
    return sum(sides) / len(sides) if sides else slot.at


def _settle(layer: Sequence[Slot], wanted: Sequence[float], gap: float) -> None:
    """Places them as near to what is wanted as their order and the gaps allow.

    Without the room that each needs, the places are those of a list that must not fall: runs that would are put at their mean.
    """
    shift, groups = 0.0, list[list[float]]()
    shifts = []
    for index, (slot, want) in enumerate(zip(layer, wanted, strict=True)):
        if index:
            shift += (layer[index - 1].size + slot.size) / 2 + gap
        shifts.append(shift)
        weight = 1.0 if slot.node is not None else _LANE_WEIGHT
        groups.append([want - shift, weight, 1])
        while len(groups) > 1 and groups[-2][0] > groups[-1][0]:
            groups.append(_joined(groups.pop(), groups.pop()))
    levels = [level for level, _, count in groups for _ in range(int(count))]
    for slot, level, each in zip(layer, levels, shifts, strict=True):
        slot.at = level + each


def _joined(one: Sequence[float], other: Sequence[float]) -> list[float]:
    weight = one[1] + other[1]
    return [(one[0] * one[1] + other[0] * other[1]) / weight, weight, one[2] + other[2]]
