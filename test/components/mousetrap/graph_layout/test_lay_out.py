"""Layouts of graphs: what holds for each, and some by hand."""

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.graph_layout import Box, Direction, Edge, Layout, Line, Node, lay_out

Graph = tuple[list[Node], list[Edge]]
Point = tuple[float, float]
_KINDS = ("next", "each", "join", "branch", "fallback")


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Up to 14 nodes of several sizes, edges from earlier to later ones."""
    sizes = draw(st.lists(st.tuples(st.integers(20, 220), st.integers(10, 90)), min_size=1, max_size=14))
    nodes = [Node(f"n{index}", width, height) for index, (width, height) in enumerate(sizes)]
    pairs = [(one, two) for two in range(len(nodes)) for one in range(two)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=24)) if pairs else []
    return nodes, [Edge(f"n{one}", f"n{two}", draw(st.sampled_from(_KINDS))) for one, two in chosen]


directions = st.sampled_from(("right", "down"))


def points(line: Line) -> Iterator[Point]:
    """The line, sampled: both ends of straight pieces, and 24 places of each bend."""
    at = (0.0, 0.0)
    for command, text in re.findall(r"([MLC])([^MLC]*)", line.path):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", text)]
        places = list(zip(numbers[::2], numbers[1::2], strict=True))
        if command == "C":
            yield from (cubic((at, *places), step / 24) for step in range(25))
        elif command == "L":
            (end,) = places
            yield from (mix(at, end, step / 24) for step in range(25))
        at = places[-1]


def mix(one: Point, two: Point, share: float) -> Point:
    return one[0] + (two[0] - one[0]) * share, one[1] + (two[1] - one[1]) * share


def cubic(places: tuple[Point, ...], share: float) -> Point:
    while len(places) > 1:
        places = tuple(mix(one, two, share) for one, two in pairwise(places))
    return places[0]


def inside(point: Point, box: Box) -> bool:
    x, y = point
    return box.x < x < box.x + box.width and box.y < y < box.y + box.height


def by_name(layout: Layout) -> dict[str, Box]:
    return {box.name: box for box in layout.boxes}


@given(graphs(), directions)
def test_no_two_boxes_overlap_and_all_are_in_the_picture(graph: Graph, direction: Direction) -> None:
    layout = lay_out(*graph, direction)

    for index, one in enumerate(layout.boxes):
        assert one.x >= 0 and one.x + one.width <= layout.width
        assert one.y >= 0 and one.y + one.height <= layout.height
        for two in layout.boxes[index + 1 :]:
            beside = one.x + one.width < two.x or two.x + two.width < one.x
            assert beside or one.y + one.height < two.y or two.y + two.height < one.y


@given(graphs(), directions)
def test_every_line_leads_forward_and_touches_its_own_two_boxes_alone(
    graph: Graph, direction: Direction
) -> None:
    layout = lay_out(*graph, direction)
    boxes = by_name(layout)
    along = 0 if direction == "right" else 1

    assert len(layout.lines) == len(graph[1])
    for line in layout.lines:
        way = list(points(line))
        assert all(one[along] <= two[along] + 0.2 for one, two in pairwise(way))
        assert not [(line, box) for point in way for box in boxes.values() if inside(point, box)]
        begin, end = boxes[line.source], boxes[line.target]
        first, last = way[0], way[-1]
        assert first[along] == pytest.approx((begin.x + begin.width, begin.y + begin.height)[along], abs=0.2)
        assert last[along] < (end.x, end.y)[along] < last[along] + 8
        assert 0 <= line.x <= layout.width and 0 <= line.y <= layout.height


@given(graphs(), directions)
def test_a_picture_does_not_depend_on_names(graph: Graph, direction: Direction) -> None:
    nodes, edges = graph
    new = {node.name: f"z{len(nodes) - index}" for index, node in enumerate(nodes)}
    renamed = lay_out(
        [Node(new[node.name], node.width, node.height) for node in nodes],
        [Edge(new[edge.source], new[edge.target], edge.kind) for edge in edges],
        direction,
    )

    layout = lay_out(nodes, edges, direction)

    assert [(box.x, box.y) for box in renamed.boxes] == [(box.x, box.y) for box in layout.boxes]
    assert [line.path for line in renamed.lines] == [line.path for line in layout.lines]


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcdez")), max_size=30))
def test_what_leads_back_or_nowhere_is_left_out(pairs: list[tuple[str, str]]) -> None:
    nodes = [Node(name, 40, 20) for name in "abcda"]

    layout = lay_out(nodes, [Edge(*pair) for pair in pairs])

    assert [(line.source, line.target) for line in layout.lines] == [
        (one, two) for one, two in pairs if one < two and {one, two} <= set("abcd")
    ]


def test_a_chain_is_a_straight_line() -> None:
    layout = lay_out([Node(name, 100, 40) for name in "abc"], [Edge("a", "b"), Edge("b", "c")])

    assert len({box.y for box in layout.boxes}) == 1
    assert [box.x for box in layout.boxes] == [6, 186, 366]
    assert layout.lines[0].path == "M106,26 C146,26 146,26 186,26 L182.5,26"


def test_a_chain_leads_down_on_a_narrow_page() -> None:
    layout = lay_out([Node(name, 100, 40) for name in "abc"], [Edge("a", "b"), Edge("b", "c")], "down")

    assert len({box.x for box in layout.boxes}) == 1
    assert [box.y for box in layout.boxes] == [6, 102, 198]


def test_branches_do_not_cross() -> None:
    nodes = [Node(name, 80, 30) for name in ("top", "a", "b", "x", "y", "end")]
    edges = [Edge(*text.split()) for text in ("top a", "top b", "a y", "b x", "x end", "y end")]

    boxes = by_name(lay_out(nodes, edges))

    assert (boxes["a"].y < boxes["b"].y) == (boxes["y"].y < boxes["x"].y)


def test_nothing_is_a_picture_too() -> None:
    layout = lay_out([], [])

    assert (layout.boxes, layout.lines) == ((), ())
    assert layout.width > 0 and layout.height > 0
