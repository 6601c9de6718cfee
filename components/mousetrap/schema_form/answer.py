"""Puts the JSON together that a form was filled in with."""

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mousetrap.schema_form.field import Choice, Empty, Field, Form, Group, Line, Raw, Rows, State, Tick, Union
from mousetrap.schema_form.json_text import MISSING, compact, number, parse

_BYTE = re.compile(r"\(byte (\d+)\)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a form was filled in with."""

    #: JSON; it is whole only without errors.
    body: bytes
    #: What is wrong, by the field's pointer. Whether the value fits its contract is for the contract to say.
    errors: dict[str, str] = field(default_factory=dict)


def answer(form: Form) -> Answer:
    """The value as JSON."""
    errors = dict(form.refused)
    value = _value(form.root, errors)
    if form.unknown:
        named = ", ".join(name.partition(":")[2] or "the whole" for name in form.unknown[:5])
        errors.setdefault(
            "",
            f"The pipeline's contract has changed since this form was made: it has no field {named} any more.",
        )
    return Answer(b"null" if value is MISSING else compact(value).encode(), errors)


def pointer_at(form: Form, where: str) -> str:
    """The pointer of the field that an error's JSON path is about: the innermost one that has this place in it."""
    around = [
        each
        for each in form.root.walk()
        if where == each.path or where.startswith((f"{each.path}.", f"{each.path}["))
    ]
    return max(around, key=lambda each: len(each.path), default=form.root).pointer


def line_and_column(text: str, error: str) -> str:
    """A JSON error with its place in the text as people count it."""
    error = error.removeprefix("JSON is malformed: ")
    found = _BYTE.search(error)
    if not found:
        return error
    before = text.encode()[: int(found[1])].decode(errors="ignore")
    place = f"(line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))})"
    return error[: found.start()] + place


def _value(field: Field, errors: dict[str, str]) -> Any:
    try:
        return _read(field, errors)
    except _Wrong as wrong:
        errors.setdefault(field.pointer, str(wrong))
        return MISSING


class _Wrong(Exception):
    """The field cannot be read."""


def _read(field: Field, errors: dict[str, str]) -> Any:
    match field:
        case Line():
            return _line(field)
        case Tick():
            return field.on
        case Choice():
            return _choice(field)
        case Raw():
            return _raw(field)
        case Union():
            return _union(field, errors)
        case Rows() | Group() if field.state != State.GIVEN:
            return None if field.state == State.NONE else MISSING
        case Rows():
            return [value for each in field.within if (value := _value(each, errors)) is not MISSING]
        case Group():
            return _members(field, errors)
    raise TypeError(f"no field: {field}")


def _line(field: Line) -> Any:
    ticked = [state for state, on in field.boxes.items() if on]
    if ticked and field.text:
        raise _Wrong("A box beside it is ticked: clear the box, or empty the field.")
    if len(ticked) > 1:
        raise _Wrong("Both boxes are ticked: clear one.")
    if ticked:
        return None if ticked == [State.NONE] else MISSING
    text = field.text.strip() if field.empty != Empty.TEXT else field.text
    if text == "" and field.empty != Empty.TEXT:
        if field.empty == Empty.NOTHING:
            raise _Wrong("A number is needed here.")
        return None if field.empty == Empty.NONE else MISSING
    if not field.is_number:
        return field.text
    if (found := number(text)) is None:
        raise _Wrong("This is no number: write it as 12, -0.5 or 1e6.")
    return found


def _choice(field: Choice) -> Any:
    if field.chosen in dict(field.options):
        return parse(field.chosen.encode())
    if field.chosen or field.empty == Empty.NOTHING:
        raise _Wrong("Choose one of these.")
    return MISSING


def _raw(field: Raw) -> Any:
    text = field.text.strip()
    if not text:
        if field.required:
            raise _Wrong("A value is needed here, as JSON.")
        return MISSING
    try:
        msgspec.json.format(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        what = (
            line_and_column(text, str(error)) if isinstance(error, msgspec.DecodeError) else "nested too deep"
        )
        raise _Wrong(f"This is no JSON: {what}.") from None
    return msgspec.Raw(text.encode())


def _union(field: Union, errors: dict[str, str]) -> Any:
    if field.is_changed:
        raise _Wrong("Its fields have changed: fill them in.")
    if field.chosen == "" and State.ABSENT in field.states:
        return MISSING
    if field.chosen not in dict(field.options):
        raise _Wrong("Choose one of these.")
    if field.chosen == "null" and field.state == State.NONE:
        return None
    return {field.tag: parse(field.chosen.encode()), **_members(field, errors)}


def _members(field: Group | Union, errors: dict[str, str]) -> dict[str, Any]:
    values = {each.label: _value(each, errors) for each in field.within}
    return {name: value for name, value in values.items() if value is not MISSING}
