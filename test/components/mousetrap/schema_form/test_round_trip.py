"""Checks that a form, submitted as it is, is the same value."""

import datetime
import itertools
import json
from collections.abc import Iterator
from copy import deepcopy
from types import GenericAlias
from typing import Any, Literal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.pipeline import schema
from mousetrap.schema_form import (
    Choice,
    Field,
    Group,
    Line,
    Raw,
    Rows,
    Tick,
    Union,
    answer,
    filled,
    indented,
    pointer_at,
    submitted,
)


def sent(field: Field) -> Iterator[tuple[str, str]]:
    """What a browser sends of the field."""
    at = field.pointer
    match field:
        case Line():
            yield f"value:{at}", field.text.replace("\n", "\r\n")
            yield from ((f"{state}:{at}", "on") for state, on in field.boxes.items() if on)
        case Tick() if field.on:
            yield f"value:{at}", "true"
        case Choice():
            yield f"value:{at}", field.chosen
        case Raw():
            yield f"json:{at}", field.text.replace("\n", "\r\n")
        case Rows():
            yield f"rows:{at}", str(len(field.within))
        case Union():
            yield f"tag:{at}", field.chosen
            yield f"shown:{at}", field.chosen
    if isinstance(field, Rows | Group) and len(field.states) > 1:
        yield f"is:{at}", field.state
    for each in field.fields:
        yield from sent(each)


def exact(raw: bytes) -> Any:
    return json.loads(raw, parse_int=str, parse_float=str)


_NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='\\"'), min_size=1, max_size=8
)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
_NUMBERS = itertools.count()  # two types of one name have no schema
#: A type, and a strategy of its values.
Typed = tuple[Any, st.SearchStrategy[Any]]

_PLAIN: st.SearchStrategy[Typed] = st.sampled_from(
    [
        (str, _TEXTS),
        (int, st.integers(-(2**63), 2**63 - 1)),
        (float, st.floats(allow_nan=False, allow_infinity=False)),
        (bool, st.booleans()),
        (datetime.datetime, st.datetimes(timezones=st.just(datetime.UTC))),
        (datetime.date, st.dates()),
        (bytes, st.binary(max_size=20)),
        (Literal["a", "b", 3], st.sampled_from(["a", "b", 3])),
        (Any, st.one_of(st.none(), _TEXTS, st.lists(st.integers(0, 9)))),
        (dict[str, int], st.dictionaries(_TEXTS, st.integers(0, 9), max_size=3)),
        (int | str, st.one_of(st.integers(0, 9), _TEXTS)),
    ]
)


def _lists(inner: Typed) -> Typed:
    return GenericAlias(list, (inner[0],)), st.lists(inner[1], max_size=4)


def _tuples(inner: list[Typed]) -> Typed:
    return GenericAlias(tuple, tuple(it[0] for it in inner)), st.tuples(*(it[1] for it in inner))


def _optional(inner: Typed) -> Typed:
    return (inner[0] | None if inner[0] is not Any else Any), st.none() | inner[1]


def _made(default: Any) -> Any:
    return msgspec.field(default_factory=lambda: deepcopy(default))


@st.composite
def _structs(draw: Any, inner: st.SearchStrategy[Typed], tag: str | None = None) -> Typed:
    fields: list[Any] = []
    values = {}
    members = draw(st.dictionaries(_NAMES.filter(lambda it: it != "type"), inner, max_size=4))
    for number, (kind, strategy) in enumerate(members.values()):
        how = draw(st.sampled_from(["required", "default", "unset"]))
        if how == "required":
            fields.append((f"f{number}", kind))
        elif how == "default":
            default = draw(strategy)
            is_plain = isinstance(default, str | int | float | bytes | datetime.date | None)
            made = msgspec.field(default=default) if is_plain else _made(default)
            fields.append((f"f{number}", kind, made))
        else:
            fields.append((f"f{number}", kind | msgspec.UnsetType if kind is not Any else Any, msgspec.UNSET))
            strategy = strategy | st.just(msgspec.UNSET)
        values[f"f{number}"] = strategy
    names = {f"f{number}": name for number, name in enumerate(members)}
    struct = msgspec.defstruct(f"S{next(_NUMBERS)}", fields, kw_only=True, rename=names, tag=tag)
    return struct, st.builds(struct, **values)


@st.composite
def _unions(draw: Any, inner: st.SearchStrategy[Typed]) -> Typed:
    one, other = draw(_structs(inner, "one")), draw(_structs(inner, "other"))
    return one[0] | other[0], one[1] | other[1]


_TYPES: st.SearchStrategy[Typed] = st.recursive(
    _PLAIN,
    lambda inner: st.one_of(
        inner.map(_lists),
        st.lists(inner, min_size=1, max_size=3).map(_tuples),
        inner.map(_optional),
        _structs(inner),
        _unions(inner),
    ),
    max_leaves=8,
)


@given(st.data())
def test_what_a_form_shows_is_sent_as_it_was(data: st.DataObject) -> None:
    kind, values = data.draw(_TYPES)
    raw = msgspec.json.encode(data.draw(values))
    contract = schema(kind)

    form = filled(contract, raw)
    again = submitted(contract, list(sent(form.root)))

    assert again.root == form.root
    assert not again.unknown
    got = answer(again)
    assert got.errors == {}
    assert exact(got.body) == exact(raw)


@given(st.data())
def test_a_form_without_a_value_has_the_defaults_or_an_error_where_one_is_needed(data: st.DataObject) -> None:
    kind, _ = data.draw(_TYPES)
    contract = schema(kind)

    form = filled(contract)
    got = answer(submitted(contract, list(sent(form.root))))

    if got.errors:
        assert {each.pointer for each in form.root.walk()} >= got.errors.keys()
    else:
        json.loads(got.body)


_WORDS = [
    "type",
    "properties",
    "items",
    "prefixItems",
    "anyOf",
    "oneOf",
    "allOf",
    "enum",
    "const",
    "$ref",
    "default",
]
_WORDS += [
    "required",
    "$defs",
    "minItems",
    "maxItems",
    "minimum",
    "maxLength",
    "format",
    "description",
    "discriminator",
]
_ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["object", "array", "string", "integer", "null", "#", "#/$defs/a", "#/properties/a"])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(_WORDS) | st.sampled_from("ab"), inner, max_size=5)
    ),
    max_leaves=25,
)
_PAIRS = st.lists(
    st.tuples(
        st.builds(
            "{}:{}".format,
            st.sampled_from(["value", "json", "rows", "none", "absent", "is", "tag", "shown", "other"]),
            st.sampled_from(["", "/a", "/b", "/0", "/a/0", "/a/b", "/a/0/b"]) | st.text(max_size=4),
        ),
        st.sampled_from(["", "1", "99999", "none", "absent", "null", '"a"']) | st.text(max_size=6),
    ),
    max_size=12,
)


@given(
    st.dictionaries(st.sampled_from(_WORDS), _ANY, max_size=8),
    _ANY,
    _PAIRS,
    st.text(max_size=8),
    st.text(max_size=9),
)
def test_no_schema_and_nothing_submitted_is_too_odd(
    contract: dict[str, Any], value: Any, pairs: list[tuple[str, str]], act: str, where: str
) -> None:
    raw = msgspec.json.encode(value)

    form = filled(contract, raw)

    got = answer(submitted(contract, list(sent(form.root))))
    assert got.errors or exact(got.body) == exact(raw)
    for each in (act, "add:/a", "remove:/a/0", "given:/a", "none:/a"):
        odd = submitted(contract, pairs, each)
        answer(odd)
        pointer_at(odd, where)


def test_what_is_nested_deep_is_not_indented_which_would_make_it_hundreds_of_times_longer() -> None:
    deep = b"[" + b",".join([b"[" * 500 + b"]" * 500] * 10) + b"]"

    assert len(indented(deep)) < 2 * len(deep)
    assert indented(b'{"a":["[[[[[[[[[[[[[[[[[[[[ \\"{{{{{{"]}').count("\n") == 4
