"""Judges what a field can be beside given: null, absent, empty."""

from typing import Any

from mousetrap.schema_form import kinds
from mousetrap.schema_form.field import Empty, State
from mousetrap.schema_form.json_text import MISSING, compact, text_of
from mousetrap.schema_form.part import Part
from mousetrap.schema_form.place import Place


def emptiness(part: Part, place: Place) -> tuple[Empty, tuple[State, ...]]:
    """What an empty text means for this line, and which boxes it needs for all else that it can be."""
    states = [each for each in states_of(part, place) if each != State.GIVEN]
    if kinds.has_empty(part.schema):
        return Empty.TEXT, tuple(states)
    if part.is_nullable and (place.is_required or part.schema.get("default", MISSING) is None):
        return Empty.NONE, tuple(each for each in states if each != State.NONE)
    if not place.is_required:
        return Empty.ABSENT, tuple(each for each in states if each != State.ABSENT)
    return (Empty.NOTHING if kinds.is_number(part.schema) else Empty.TEXT), ()


def line_of(
    value: Any, is_number: bool, empty: Empty, states: tuple[State, ...]
) -> tuple[str, State | None] | None:
    """The text for a value, and the box to tick; None where a line cannot show it."""
    if value is MISSING and empty == Empty.ABSENT:
        return "", None
    if value is MISSING:
        return "", next((each for each in (State.ABSENT, State.NONE) if each in states), None)
    if value is None:
        return ("", State.NONE) if State.NONE in states else ("", None) if empty == Empty.NONE else None
    text = text_of(value) if is_number else value
    if not isinstance(text, str) or not kinds.can_be_shown(text) or (text == "" and empty != Empty.TEXT):
        return None
    return text, None


def can_be_absent(part: Part, place: Place) -> bool:
    """Whether a member can be left out, and that means something of its own."""
    return not place.is_required and "default" not in part.schema


def states_of(part: Part, place: Place) -> tuple[State, ...]:
    """What a value can be beside given."""
    found = [State.GIVEN]
    if part.is_nullable:
        found.append(State.NONE)
    if can_be_absent(part, place):
        found.append(State.ABSENT)
    return tuple(found)


def tag_in(value: Any, tags: kinds.Tags, place: Place, part: Part) -> str:
    """The JSON of the value's tag; `null` for null, and the empty text where nothing is chosen."""
    if value is None or (value is MISSING and place.is_required and part.is_nullable):
        return "null"
    return compact(value[tags.name]) if isinstance(value, dict) and tags.name in value else ""
