"""Holds a graph and its layout."""

from dataclasses import dataclass
from typing import Literal

#: Where the lines lead: to the right, or down where the page is narrow.
Direction = Literal["right", "down"]


@dataclass(frozen=True, slots=True)
class Node:
    """What becomes a box of this size."""

    name: str
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Edge:
    """What leads from a node to one that is listed behind it."""

    source: str
    target: str
    kind: str = "next"


@dataclass(frozen=True, slots=True)
class Box:
    """Where a node stands: its corner at the left and the top."""

    name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Line:
    """How an edge is drawn."""

    source: str
    target: str
    kind: str
    #: The data of an SVG path, from box to box, and those of the arrow at its end.
    path: str
    head: str
    #: Where a label stands: the middle of the first bend.
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Layout:
    """A picture of this size."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
