"""Holds the input of a run while it is edited."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import msgspec

from mousetrap.dashboard.view import Query
from mousetrap.schema_form import (
    Field,
    Form,
    answer,
    filled,
    indented,
    line_and_column,
    pointer_at,
    submitted,
)

#: Bytes of an input that a page shows for editing.
MOST_BYTES = 50_000
#: The form's field with the whole input as JSON, and its buttons.
_RAW, _ACT = "raw", "do"
_AS_JSON, _AS_FIELDS = "as-json", "as-fields"

#: The API's advice for who has no form before them.
_ADVICE = "; GET /pipelines shows the contract as JSON Schema"
#: The form's field that makes each form another one.
ONCE = "once"

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class InputForm:
    """An input that is edited."""

    schema: Schema
    #: None while it is edited as JSON.
    fields: Form | None = None
    text: str = ""
    #: What is wrong, by the field's pointer; as JSON, all of it has the empty one.
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_json(self) -> bool:
        """Whether it is edited as JSON."""
        return self.fields is None

    def error(self, pointer: str) -> str:
        """What is wrong with a field."""
        return self.errors.get(pointer, "")

    def id_of(self, pointer: str) -> str:
        """The id of a field's element."""
        return self._ids.get(pointer, "in")

    def wrong(self) -> tuple[tuple[str, str, str], ...]:
        """Of each field with an error: its element's id, its name, the error."""
        ids = self._ids
        return tuple(
            (ids.get(at, "in"), at.removeprefix("/") or "the input", what) for at, what in self.errors.items()
        )

    def body(self) -> "tuple[bytes, InputForm]":
        """The input as JSON, empty for none, and this form with what is wrong with it."""
        if self.fields is not None:
            got = answer(self.fields)
            return got.body, replace(self, errors=got.errors)
        error = _error_of(self.text)
        return self.text.strip().encode(), replace(self, errors={"": error} if error else {})

    def refused(self, what: str, where: str) -> "InputForm":
        """This form with the API's error at the field that it is about."""
        what = what.removesuffix(_ADVICE)
        if self.fields is None:
            return replace(self, errors={"": f"At {where}: {what}"})
        return replace(self, errors={pointer_at(self.fields, where): what})

    @cached_property
    def _ids(self) -> dict[str, str]:
        """The id of each field; asked for a few times for each of them."""
        walk: list[Field] = list(self.fields.root.walk()) if self.fields else []
        return {each.pointer: f"in{number}" for number, each in enumerate(walk)}


def with_value(schema: Schema, raw: bytes | None = None) -> InputForm:
    """The form with this JSON in it; without one, with the defaults."""
    return InputForm(schema, filled(schema, raw))


def as_text(schema: Schema, raw: bytes) -> InputForm:
    """The same as JSON."""
    return InputForm(schema, text=indented(raw) if raw else "")


def sent(schema: Schema, form: Query) -> tuple[InputForm, bool]:
    """The form as it was sent, after what its button does; and whether that button carries the input out."""
    act = form.one(_ACT)
    raw = next((text for name, text in form.pairs if name == _RAW), None)
    if raw is not None:
        edited = InputForm(schema, text=raw.replace("\r\n", "\n"))
        return (_as_fields(edited), False) if act == _AS_FIELDS else (edited, act == "")
    edited = InputForm(schema, submitted(schema, form.pairs, act))
    if act == _AS_JSON:
        return _as_json(edited), False
    refused = edited.fields.refused if edited.fields else {}
    return replace(edited, errors=refused), act == ""


def new_once() -> str:
    """What makes a new form another one."""
    return secrets.token_hex(16)


def once_key(form: Query, *filled_in: bytes) -> str:
    """An idempotency key of the form and what is filled in: sent twice it starts one run, and changed another."""
    return f"form-{hashlib.sha256(repr((form.one(ONCE), *filled_in)).encode()).hexdigest()}"


def is_same(one: bytes, other: bytes) -> bool:
    """Whether two texts are the same JSON, digit by digit."""
    try:
        return bool(_read(one) == _read(other))
    except (ValueError, RecursionError):
        return False


def on_one_line(raw: bytes) -> str:
    """The JSON for a command; empty where it is none."""
    try:
        return msgspec.json.format(raw, indent=-1).decode() if raw else ""
    except (msgspec.DecodeError, RecursionError):
        return ""


def _as_json(edited: InputForm) -> InputForm:
    body, checked = edited.body()
    return checked if checked.errors else as_text(edited.schema, body)


def _as_fields(edited: InputForm) -> InputForm:
    body, checked = edited.body()
    return checked if checked.errors else with_value(edited.schema, body or None)


def _error_of(text: str) -> str:
    """Why the text is no JSON; empty where it is, and for an empty one."""
    try:
        if text.strip():
            msgspec.json.format(text)
    except msgspec.DecodeError as error:
        return f"This is no JSON: {line_and_column(text, str(error))}."
    except RecursionError:
        return "This JSON is nested too deep."
    return ""


def _read(raw: bytes) -> Any:
    return json.loads(raw, parse_int=str, parse_float=str)
