"""Lays out a graph in layers, for a picture of it."""

from mousetrap.graph_layout.graph import Box, Direction, Edge, Layout, Line, Node
from mousetrap.graph_layout.lay_out import lay_out

__all__ = ["Box", "Direction", "Edge", "Layout", "Line", "Node", "lay_out"]
