"""Lays out a graph: layers, places, lines."""

from collections.abc import Sequence

from mousetrap.graph_layout.graph import Box, Direction, Edge, Layout, Node
from mousetrap.graph_layout.layers import Layered, layered
from mousetrap.graph_layout.lines import Depths, draw
from mousetrap.graph_layout.places import place

#: Between the layers, where the lines bend and their labels stand; between boxes of a layer; around all.
_LAYER_GAP, _GAP, _MARGIN = {"right": 80.0, "down": 56.0}, 18.0, 6.0
#: What a line takes where it passes boxes.
_LANE = 10.0


def lay_out(nodes: Sequence[Node], edges: Sequence[Edge], direction: Direction = "right") -> Layout:
    """The layout of a graph whose edges lead from nodes to later ones.

    An edge that leads back, or to a node that is not there, is not drawn: a picture of the rest is better than none. Of nodes
    with one name the last one counts.
    """
    known = list({node.name: node for node in nodes}.values())
    right = direction == "right"
    turned = known if right else [Node(node.name, node.height, node.width) for node in known]
    graph = layered(turned, edges, _LANE)
    place(graph, _GAP)
    depths = Depths(
        _depths(graph, _LAYER_GAP[direction]),
        (lambda along, across: (along, across + _MARGIN))
        if right
        else (lambda along, across: (across + _MARGIN, along)),
    )
    boxes = tuple(_box(graph, depths, node, right) for node in known)
    lines = draw(graph.ways, depths)
    along = (depths.layers[-1][1] if depths.layers else _MARGIN) + _MARGIN
    across = max((it.at + it.size / 2 for layer in graph.layers for it in layer), default=0.0) + 2 * _MARGIN
    width, height = (along, across) if right else (across, along)
    return Layout(round(width, 1), round(height, 1), boxes, lines)


def _depths(graph: Layered, gap: float) -> list[tuple[float, float]]:
    """Where each layer begins and ends: it is as deep as its deepest box."""
    found, begin = list[tuple[float, float]](), _MARGIN
    for layer in graph.layers:
        end = begin + max(slot.depth for slot in layer)
        found.append((begin, end))
        begin = end + gap
    return found


def _box(graph: Layered, depths: Depths, node: Node, right: bool) -> Box:
    slot = graph.slots[node.name]
    begin, _ = depths.box(slot)
    corner = slot.at - slot.size / 2 + _MARGIN
    x, y = (begin, corner) if right else (corner, begin)
    return Box(node.name, round(x, 1), round(y, 1), node.width, node.height)
