"""Finds, groups, redrives, edits, discards and exports dead letters."""

from mousetrap.dead_letters.edit import NotEditable
from mousetrap.dead_letters.export import line
from mousetrap.dead_letters.group import group
from mousetrap.dead_letters.letter import DeadLetter, read_letter
from mousetrap.dead_letters.repair import DeadLetters, Fate, Looked, Repaired
from mousetrap.dead_letters.selection import Selection

__all__ = [
    "DeadLetter",
    "DeadLetters",
    "Fate",
    "Looked",
    "NotEditable",
    "Repaired",
    "Selection",
    "group",
    "line",
    "read_letter",
]
