"""Makes a bounded tree of a JSON text, for a page."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

#: What one tree shows: nodes, characters of one text, and characters of all texts together.
_MOST_NODES, _MOST_OF_TEXT, _MOST_CHARACTERS = 200, 2_000, 20_000
#: Characters of the raw text below a tree that does not show all. A quote mark is five bytes of the page.
_MOST_RAW = 20_000


class _Number(str):
    """A number as it was written: no size is a border, and no digit is lost."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the tree."""

    #: Its key or its index; empty at the top.
    label: str
    #: object, list, text, number or word (true, false, null).
    kind: str
    #: Of a value without others in it: itself.
    text: str = ""
    nodes: tuple["Node", ...] = ()
    #: How many values it has that are not shown; of a text, characters.
    left: int = 0

    @property
    def size(self) -> int:
        """How many values it has."""
        return len(self.nodes) + self.left


@dataclass(frozen=True, slots=True)
class Tree:
    """A JSON text as a page shows it."""

    #: None where it cannot be read, or is nested too deep.
    top: Node | None
    #: The beginning of the text, where the tree does not show all of it; else empty.
    raw: str = ""
    #: How many of its characters are not shown.
    left: int = 0


#: Trees of the last large texts, by their digests: the input of a run that is watched is the same at each look, and to read
#: 8 MB takes a fifth of a second.
_kept: OrderedDict[bytes, Tree] = OrderedDict()
_MOST_TREES, _LARGE_BYTES = 20, 100_000


def json_tree(raw: bytes) -> Tree:
    """The tree of a JSON text; a large one is cut, with the beginning of its text beside it."""
    if len(raw) < _LARGE_BYTES:
        return _read(raw)
    digest = hashlib.blake2b(raw, digest_size=16).digest()
    tree = _kept.pop(digest, None) or _read(raw)
    _kept[digest] = tree
    while len(_kept) > _MOST_TREES:
        _kept.popitem(last=False)
    return tree


def _read(raw: bytes) -> Tree:
    try:
        value = json.loads(raw, parse_int=_Number, parse_float=_Number, parse_constant=_Number)
        room = _Room()
        top = room.node("", value)
    except (ValueError, RecursionError):
        room, top = _Room(is_cut=True), None
    if not room.is_cut:
        return Tree(top)
    text = raw.decode(errors="replace")
    return Tree(top, text[:_MOST_RAW], max(0, len(text) - _MOST_RAW))


@dataclass(slots=True)
class _Room:
    """What one tree has room for."""

    nodes: int = _MOST_NODES
    characters: int = _MOST_CHARACTERS
    is_cut: bool = False

    def node(self, label: str, value: Any) -> Node:
        self.nodes -= 1
        label = self._text(label)[0]
        if isinstance(value, dict):
            return self._branch(label, "object", len(value), iter(value.items()))
        if isinstance(value, list):
            return self._branch(label, "list", len(value), ((str(at), it) for at, it in enumerate(value)))
        if isinstance(value, str):
            text, left = self._text(value)
            return Node(label, "number" if isinstance(value, _Number) else "text", text, left=left)
        return Node(label, "word", json.dumps(value))

    def _branch(self, label: str, kind: str, size: int, items: Iterator[tuple[str, Any]]) -> Node:
        shown: list[Node] = []
        for name, value in items:
            if self.nodes <= 0 or self.characters <= 0:
                self.is_cut = True
                break
            shown.append(self.node(name, value))
        return Node(label, kind, nodes=tuple(shown), left=size - len(shown))

    def _text(self, text: str) -> tuple[str, int]:
        most = max(0, min(_MOST_OF_TEXT, self.characters))
        self.characters -= min(len(text), most)
        self.is_cut = self.is_cut or len(text) > most
        return str(text[:most]), max(0, len(text) - most)
