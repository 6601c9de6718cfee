"""Draws edges between the layers, where no box is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mousetrap.graph_layout.graph import Line
from mousetrap.graph_layout.layers import Slot, Way

#: Between two lines at one side of a box, and how much of the side they take.
_PORT_GAP, _PORT_SHARE = 14.0, 0.7
#: The arrow at the end.
_HEAD, _HEAD_HALF = 7.0, 4.0

#: A place as the picture has it, from one along the direction and one across.
Turn = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Depths:
    """Where each layer begins and ends along the direction, and where a node's box does."""

    layers: Sequence[tuple[float, float]]
    turn: Turn

    def box(self, slot: Slot) -> tuple[float, float]:
        """A box stands in the middle of its layer."""
        begin, end = self.layers[slot.layer]
        margin = (end - begin - slot.depth) / 2
        return begin + margin, end - margin


def draw(ways: Sequence[Way], depths: Depths) -> tuple[Line, ...]:
    """The line of each edge."""
    leave = _ports(ways, -1)
    enter = _ports(ways, 0)
    return tuple(_line(way, depths, leave[index], enter[index]) for index, way in enumerate(ways))


def _ports(ways: Sequence[Way], side: int) -> list[float]:
    """Where each edge leaves its source (side -1: what is after it), or enters its target (side 0)."""
    leaves = side == -1
    own = [way.slots[0 if leaves else -1] for way in ways]
    other = [way.slots[1 if leaves else -2] for way in ways]
    ports = [slot.at for slot in own]
    for slot in dict.fromkeys(own):
        here = sorted((index for index, each in enumerate(own) if each is slot), key=lambda it: other[it].at)
        gap = min(_PORT_GAP, slot.size * _PORT_SHARE / len(here))
        for place, index in enumerate(here):
            ports[index] += (place - (len(here) - 1) / 2) * gap
    return ports


def _line(way: Way, depths: Depths, leave: float, enter: float) -> Line:
    source, target = way.slots[0], way.slots[-1]
    begin, end = depths.box(source)[1], depths.box(target)[0]
    pieces = [f"M{_point(depths.turn(begin, leave))}"]
    across = [leave, *(slot.at for slot in way.slots[1:-1]), enter]
    for place in range(len(way.slots) - 1):
        here = depths.layers[way.slots[place].layer][1]
        there = depths.layers[way.slots[place + 1].layer][0]
        # Straight through the layer, or what is left of it beside the node's own box.
        if here > begin or place:
            pieces.append(f"L{_point(depths.turn(here, across[place]))}")
        pieces.append(_bend(depths.turn, (here, across[place]), (there, across[place + 1])))
    pieces.append(f"L{_point(depths.turn(end - _HEAD / 2, enter))}")
    gap_begin, gap_end = depths.layers[source.layer][1], depths.layers[source.layer + 1][0]
    x, y = depths.turn((gap_begin + gap_end) / 2, (across[0] + across[1]) / 2)
    head = _head(depths.turn, end, enter)
    return Line(
        way.edge.source, way.edge.target, way.edge.kind, " ".join(pieces), head, round(x, 1), round(y, 1)
    )


def _bend(turn: Turn, begin: tuple[float, float], end: tuple[float, float]) -> str:
    """A cubic that leaves and enters along the direction; it stays between the two layers."""
    middle = (begin[0] + end[0]) / 2
    points = (turn(middle, begin[1]), turn(middle, end[1]), turn(*end))
    return "C" + " ".join(map(_point, points))


def _head(turn: Turn, end: float, across: float) -> str:
    corners = ((end - _HEAD, across - _HEAD_HALF), (end, across), (end - _HEAD, across + _HEAD_HALF))
    return "M" + " L".join(_point(turn(*corner)) for corner in corners) + "Z"


def _point(place: tuple[float, float]) -> str:
    return f"{round(place[0], 1):g},{round(place[1], 1):g}"
