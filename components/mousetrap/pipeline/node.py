"""Describes a stage by the names that it has and gives."""

from typing import NamedTuple

from mousetrap.pipeline.after import Edge


class Node(NamedTuple):
    """A stage by its names alone, as a pipeline and a manifest have it."""

    name: str
    #: The stages that it names; None for the one before it.
    after: tuple[str, ...] | None
    edge: Edge = "one"
    fallback: str | None = None
