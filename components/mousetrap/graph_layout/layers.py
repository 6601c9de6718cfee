"""Puts nodes and the lanes of long edges into ordered layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from mousetrap.graph_layout.graph import Edge, Node

#: More add little: after four, sweeps of usual pipelines change nothing.
_SWEEPS = 4


@dataclass(eq=False, slots=True)
class Slot:
    """A place in a layer: of a node, or of an edge that passes."""

    layer: int
    #: How much it takes along the layer, and how deep it is.
    size: float
    depth: float
    #: None for a lane.
    node: str | None = None
    before: list["Slot"] = field(default_factory=list)
    after: list["Slot"] = field(default_factory=list)
    #: Its middle along the layer.
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Way:
    """The places that an edge passes, its two nodes among them."""

    edge: Edge
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Layered:
    """The graph in layers, each in its order."""

    layers: tuple[list[Slot], ...]
    slots: Mapping[str, Slot]
    ways: tuple[Way, ...]


def layered(nodes: Sequence[Node], edges: Sequence[Edge], lane: float) -> Layered:
    """The graph in layers. Nodes are as high as they take along the layer; a lane takes `lane`.

    An edge that leads back, to its own node or to none is left out: with it there would be no layers.
    """
    place = {node.name: index for index, node in enumerate(nodes)}
    kept = [edge for edge in edges if place.get(edge.source, len(nodes)) < place.get(edge.target, -1)]
    numbers = _longest_paths(nodes, kept)
    slots = {node.name: Slot(numbers[node.name], node.height, node.width, node.name) for node in nodes}
    layers: tuple[list[Slot], ...] = tuple([] for _ in range(max(numbers.values(), default=-1) + 1))
    for slot in slots.values():
        layers[slot.layer].append(slot)
    ways = tuple(_way(edge, slots, layers, lane) for edge in kept)
    _order(layers)
    return Layered(layers, slots, ways)


def _longest_paths(nodes: Sequence[Node], edges: Sequence[Edge]) -> dict[str, int]:
    """The layer of each node: one behind the last that leads to it."""
    leading: dict[str, list[str]] = {}
    for edge in edges:
        leading.setdefault(edge.target, []).append(edge.source)
    numbers: dict[str, int] = {}
    for node in nodes:
        numbers[node.name] = max((numbers[name] + 1 for name in leading.get(node.name, ())), default=0)
    return numbers


def _way(edge: Edge, slots: Mapping[str, Slot], layers: Sequence[list[Slot]], lane: float) -> Way:
    source, target = slots[edge.source], slots[edge.target]
    lanes = [Slot(layer, lane, 0.0) for layer in range(source.layer + 1, target.layer)]
    for slot in lanes:
        layers[slot.layer].append(slot)
    way = (source, *lanes, target)
    for one, next_ in pairwise(way):
        one.after.append(next_)
        next_.before.append(one)
    return Way(edge, way)


def _order(layers: Sequence[list[Slot]]) -> None:
    """Orders each layer by the mean place of the neighbours in the layer before, then behind, and again."""
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        places: dict[Slot, float] = {}
        for layer in layers if forward else reversed(layers):
            means = {
                slot: _mean([places[other] for other in (slot.before if forward else slot.after)], place)
                for place, slot in enumerate(layer)
            }
            layer.sort(key=means.__getitem__)
            places = {slot: place for place, slot in enumerate(layer)}


def _mean(places: Sequence[float], own: float) -> float:
    """Of the neighbours; its own place where it has none, so that it stays."""
    return sum(places) / len(places) if places else own
