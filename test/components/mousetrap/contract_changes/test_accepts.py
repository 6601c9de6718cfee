"""Tests which changes of a schema break what is in flight."""

from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from mousetrap.contract_changes import accepts
from mousetrap.pipeline import JsonSchema, schema


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Red(Enum):
    RED = "red"


def struct(**fields: Any) -> Any:
    """A struct; a pair is a type with its default."""
    listed = [(name, *it) if isinstance(it, tuple) else (name, it) for name, it in fields.items()]
    return msgspec.defstruct("S", listed)


def closed(**fields: Any) -> Any:
    return msgspec.defstruct("S", list(fields.items()), forbid_unknown_fields=True)


class Node(msgspec.Struct):
    value: int
    next: "Node | None" = None


class WideNode(msgspec.Struct, rename="camel"):
    value: int | str
    next: "WideNode | None" = None


class Model(pydantic.BaseModel):
    name: str
    size: int = 1


class MoreModel(pydantic.BaseModel):
    name: str
    size: int = 1
    colour: str


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    name: str


@dataclass
class Plain:
    a: int


#: The writer's contract, the reader's, and the place of the break; None for none.
TABLE: list[tuple[str, Any, Any, str | None]] = [
    ("nothing changed", struct(a=int), struct(a=int), None),
    ("a field with a default is new", struct(a=int), struct(a=int, b=(int, 0)), None),
    ("a required field is new", struct(a=int), struct(a=int, b=int), "$.b"),
    ("a field is gone", struct(a=int, b=int), struct(a=int), None),
    ("a field is gone and unknown ones are refused", struct(a=int, b=int), closed(a=int), "$.b"),
    ("a field became optional", struct(a=int), struct(a=(int, 0)), None),
    ("a field became required", struct(a=(int, 0)), struct(a=int), "$.a"),
    ("a type is wider", struct(a=int), struct(a=int | str), None),
    ("a type is narrower", struct(a=int | str), struct(a=int), "$.a"),
    ("None is gone", struct(a=int | None), struct(a=int), "$.a"),
    ("a whole number became any", int, float, None),
    ("any number became whole", float, int, "$"),
    ("a member is new", Red, Colour, None),
    ("a member is gone", Colour, Red, "$"),
    ("a text became an enumeration", str, Colour, "$"),
    ("an enumeration became a text", Colour, str, None),
    ("a literal is gone", Literal[1, 2], Literal[1], "$"),
    ("a bound is new", int, Annotated[int, Meta(ge=0)], "$"),
    ("a bound is wider", Annotated[int, Meta(ge=5)], Annotated[int, Meta(ge=0)], None),
    ("a bound is exclusive now", Annotated[int, Meta(ge=5)], Annotated[int, Meta(gt=5)], "$"),
    ("a length is shorter", Annotated[str, Meta(max_length=9)], Annotated[str, Meta(max_length=8)], "$"),
    ("a pattern is new", str, Annotated[str, Meta(pattern="a")], "$"),
    ("items are narrower", list[int | str], list[int], "$[]"),
    ("items are wider", list[int], list[int | str], None),
    ("a tuple is longer", tuple[int, int], tuple[int, int, int], "$"),
    ("values of a mapping are narrower", dict[str, int | None], dict[str, int], "$.*"),
    ("a mapping became a struct", dict[str, int], struct(a=int), "$.a"),
    ("a list of itself is the same", Node, Node, None),
    ("a list of itself is wider", Node, WideNode, None),
    ("a list of itself is narrower", WideNode, Node, "$.value"),
    ("a model has a required field more", Model, MoreModel, "$.colour"),
    ("a model has a field less", MoreModel, Model, None),
    ("a dataclass became a struct", Plain, struct(a=int), None),
    ("a tagged type is new", Cat, Cat | Dog, None),
    ("a tagged type is gone", Cat | Dog, Cat, "$.type"),
    ("anything is read", struct(a=int), Any, None),
    ("anything was written", Any, struct(a=int), "$"),
]


@pytest.mark.parametrize(
    ("writer", "reader", "where"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_a_break_is_found_with_its_place(writer: Any, reader: Any, where: str | None) -> None:
    found = accepts(schema(reader), schema(writer))

    assert where in [each.where for each in found] if where else found == (), found


LEAVES = (
    st.sampled_from(
        [int, str, float, bool, None, Colour, Red, Literal[1, 2], Literal["a"], list[int], dict[str, int]]
    )
    | st.builds(
        lambda low, more: Annotated[int, Meta(ge=low, le=low + more)], st.integers(-3, 3), st.integers(0, 5)
    )
    | st.builds(
        lambda low, more: Annotated[str, Meta(min_length=low, max_length=low + more)],
        st.integers(0, 3),
        st.integers(0, 3),
    )
)


#: Each type of a contract has its own name.
NUMBERS = count()


@st.composite
def structs(draw: st.DrawFn, parts: st.SearchStrategy[Any]) -> Any:
    names = draw(st.lists(st.sampled_from("abc"), unique=True, max_size=3))
    fields = [(name, draw(parts), *draw(st.sampled_from([(), (None,)]))) for name in names]
    fields.sort(key=len)
    return msgspec.defstruct(f"S{next(NUMBERS)}", fields, forbid_unknown_fields=draw(st.booleans()))


def unions(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from(
        [int | str, int | None, str | None, float | None, int | str | None, list[int] | str]
    )


CONTRACTS = st.recursive(
    LEAVES | unions(LEAVES),
    lambda parts: structs(parts) | parts.map(lambda it: list[it]) | parts.map(lambda it: dict[str, it]),  # type: ignore[valid-type]
    max_leaves=6,
)


@st.composite
def values_of(draw: st.DrawFn, form: Any, document: Any) -> Any:  # noqa: C901  a case for each kind
    """A value that a writer with this schema makes."""
    if form is True or form == {}:
        return draw(st.sampled_from([1, "x", None, [1], {"a": 1}]))
    if "$ref" in form:
        return draw(values_of(document["$defs"][form["$ref"].rpartition("/")[2]], document))
    if "anyOf" in form:
        return draw(values_of(draw(st.sampled_from(form["anyOf"])), document))
    if "enum" in form:
        return draw(st.sampled_from(form["enum"]))
    match form["type"]:
        case "integer":
            low = form.get("minimum", -5)
            return draw(st.integers(low, form.get("maximum", low + 10)))
        case "number":
            return draw(st.sampled_from([0, 1, 2.5, -1.5]))
        case "string":
            return draw(st.text("ab", min_size=form.get("minLength", 0), max_size=form.get("maxLength", 5)))
        case "boolean":
            return draw(st.booleans())
        case "null":
            return None
        case "array":
            return draw(st.lists(values_of(form.get("items", True), document), max_size=2))
    written = {
        name: draw(values_of(each, document))
        for name, each in form.get("properties", {}).items()
        if name in form.get("required", ()) or draw(st.booleans())
    }
    if isinstance(extra := form.get("additionalProperties", False), dict):
        written |= draw(st.dictionaries(st.sampled_from("abcd"), values_of(extra, document), max_size=2))
    return written


@settings(max_examples=400)  # an eighth of the pairs is compatible
@given(st.data(), CONTRACTS, CONTRACTS)
def test_what_is_reported_compatible_is_read(data: st.DataObject, old: Any, new: Any) -> None:
    writer, reader = schema(old), schema(new)
    if accepts(reader, writer):
        return
    value = data.draw(values_of(writer, writer))

    JsonSchema(reader).read(msgspec.json.encode(value))


@given(CONTRACTS)
def test_a_contract_reads_what_it_writes(contract: Any) -> None:
    assert accepts(schema(contract), schema(contract)) == ()
