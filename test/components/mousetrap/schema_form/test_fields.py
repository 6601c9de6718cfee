"""Checks which field each part has, what it does, its errors."""

from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta
from pydantic import BaseModel
from pydantic import Field as PydanticField

from mousetrap.pipeline import schema
from mousetrap.schema_form import (
    Choice,
    Empty,
    Field,
    Group,
    Holder,
    Line,
    Raw,
    Rows,
    State,
    Tick,
    Union,
    answer,
    filled,
    line_and_column,
    pointer_at,
    submitted,
)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Circle(msgspec.Struct, tag="circle"):
    radius: float


class Square(msgspec.Struct, tag="square"):
    side: int
    note: str = ""


class Tree(msgspec.Struct):
    name: str
    twigs: list["Tree"] = []


class Order(msgspec.Struct):
    """What is ordered."""

    name: str
    count: Annotated[int, Meta(ge=1, le=10, description="How many.", examples=[3])]
    price: Annotated[float, Meta(ge=0)] = 1.5
    note: Annotated[str, Meta(max_length=2000)] = ""
    is_gift: bool = False
    colour: Colour = Colour.RED
    when: Literal["now", "later"] | None = None
    discount: float | None = None
    reply_to: str | None = None
    shape: Circle | Square | None = None
    tree: Tree | None = None
    regions: list[str] = []
    extra: dict[str, int] = {}
    anything: Any = None


ORDER = schema(Order)


def fields(contract: Any, raw: bytes | None = None) -> dict[str, Field]:
    form = filled(contract if isinstance(contract, dict) else schema(contract), raw)
    return {each.pointer: each for each in form.root.walk()}


def test_each_part_has_its_field() -> None:
    found = fields(ORDER)

    kinds = {pointer.removeprefix("/"): field.kind for pointer, field in found.items()}
    assert kinds == {
        "": "group",
        **dict.fromkeys(("name", "count", "price", "note", "discount", "reply_to"), "line"),
        "is_gift": "tick",
        **dict.fromkeys(("colour", "when"), "choice"),
        "shape": "union",
        "tree": "group",
        "regions": "rows",
        **dict.fromkeys(("extra", "anything"), "raw"),
    }
    assert found[""].about == "What is ordered."
    assert found["/count"].about == "How many."
    assert (found["/name"].required, found["/price"].required) == (True, False)


def test_a_line_has_what_is_expected() -> None:
    found = fields(ORDER)

    count, price, note, name = (found[f"/{name}"] for name in ("count", "price", "note", "name"))
    assert isinstance(count, Line) and isinstance(price, Line)
    assert isinstance(note, Line) and isinstance(name, Line)
    assert (count.hint, count.keyboard, count.text, count.empty) == (
        "1 … 10, as 3",
        "numeric",
        "",
        Empty.NOTHING,
    )
    assert (price.hint, price.keyboard, price.text) == ("at least 0", "decimal", "1.5")
    assert (note.is_long, name.is_long) == (True, False)


def test_formats_of_texts_have_a_keyboard_and_an_example() -> None:
    found = fields(
        {
            "type": "object",
            "properties": {
                "mail": {"type": "string", "format": "email"},
                "link": {"type": "string", "format": "uri"},
                "at": {"type": "string", "format": "date-time"},
            },
        }
    )

    mail, link, at = (found[f"/{name}"] for name in ("mail", "link", "at"))
    assert isinstance(mail, Line) and isinstance(link, Line) and isinstance(at, Line)
    assert (mail.keyboard, link.keyboard) == ("email", "url")
    assert at.hint == "2026-12-01T08:00:00Z"


def test_a_number_of_any_size_stays_what_it_is() -> None:
    raw = b'{"name":"","count":9007199254740993,"price":0.1000000000000000055511151231257827}'

    form = filled(ORDER, raw)

    assert answer(form).body.startswith(raw.removesuffix(b"}"))


def test_null_is_an_empty_number_a_box_beside_a_text_and_an_option_of_a_choice() -> None:
    found = fields(ORDER)

    discount, reply_to, when = found["/discount"], found["/reply_to"], found["/when"]
    assert isinstance(discount, Line) and isinstance(reply_to, Line) and isinstance(when, Choice)
    assert (discount.text, discount.empty, discount.boxes) == ("", Empty.NONE, {})
    assert (reply_to.text, reply_to.empty, reply_to.boxes) == ("", Empty.TEXT, {State.NONE: True})
    assert (when.chosen, when.options[-1]) == ("null", ("null", "none"))


def test_a_text_beside_a_ticked_box_is_an_error_not_lost() -> None:
    form = submitted(schema(str | None), [("value:", "text"), ("none:", "on")])

    assert answer(form).errors == {"": "A box beside it is ticked: clear the box, or empty the field."}


@pytest.mark.parametrize("text", ["1,5", "0x10", "NaN", "01", "1.", ".5", "", "\u0661", "1 2"])
def test_what_is_no_number_is_an_error_at_its_field(text: str) -> None:
    form = submitted(ORDER, [("value:/name", "n"), ("value:/count", text)])

    assert set(answer(form).errors) == {"/count"}


def test_whether_a_value_fits_is_not_judged_here() -> None:
    form = submitted(schema(Annotated[int, Meta(le=10)]), [("value:", " 11.5 ")])

    assert (answer(form).body, answer(form).errors) == (b"11.5", {})


def test_rows_are_added_and_removed() -> None:
    contract = schema(list[str])
    pairs = [("rows:", "2"), ("value:/0", "a"), ("value:/1", "b")]

    added = submitted(contract, pairs, "add:")
    removed = submitted(contract, [*pairs, ("value:/10", "k")], "remove:/0")

    assert answer(added).body == b'["a","b",""]'
    assert answer(removed).body == b'["b"]'


def test_a_row_within_a_row_moves_with_it() -> None:
    contract = schema(list[list[int]])
    pairs = [
        ("rows:", "2"),
        ("rows:/0", "1"),
        ("value:/0/0", "1"),
        ("rows:/1", "2"),
        ("value:/1/0", "2"),
        ("value:/1/1", "3"),
    ]

    assert answer(submitted(contract, pairs, "remove:/0")).body == b"[[2,3]]"
    assert answer(submitted(contract, pairs, "remove:/1/0")).body == b"[[1],[3]]"


def test_a_list_that_is_too_long_for_rows_is_json() -> None:
    raw = msgspec.json.encode(list(range(10_000)))

    form = filled(schema(list[int]), raw)

    assert isinstance(form.root, Raw)
    assert answer(form).body == msgspec.json.format(raw, indent=2)


@pytest.mark.parametrize("count", ["10000", "99999999999", "-1", "x", "\u0663"])
def test_a_count_of_rows_that_was_made_up_costs_nothing(count: str) -> None:
    form = submitted(schema(list[str]), [("rows:", count)])

    assert isinstance(form.root, Rows)
    assert len(form.root.within) <= 100


def test_an_object_that_may_be_null_is_made_and_taken_away() -> None:
    pairs = [("value:/name", "n"), ("value:/count", "1"), ("is:/tree", "none")]

    made = submitted(ORDER, pairs, "given:/tree")
    gone = submitted(ORDER, [*pairs[:2], ("is:/tree", "given"), ("value:/tree/name", "x")], "none:/tree")

    found = {each.pointer: each for each in made.root.walk()}
    tree = found["/tree"]
    assert isinstance(tree, Holder) and tree.state == State.GIVEN
    assert {"/tree/name", "/tree/twigs"} <= found.keys()
    assert msgspec.json.decode(answer(gone).body)["tree"] is None
    assert answer(gone).errors == {}


def test_a_type_that_contains_itself_is_json_where_it_does() -> None:
    found = fields(Tree, b'{"name":"a","twigs":[{"name":"b","twigs":[]}]}')

    assert isinstance(found["/twigs"], Raw)


def test_a_union_has_the_fields_of_its_tag() -> None:
    found = fields(Circle | Square, b'{"type":"square","side":3,"note":"x"}')

    union = found[""]
    assert isinstance(union, Union)
    assert union.options == (('"circle"', "circle"), ('"square"', "square"))
    assert [each.pointer for each in union.within] == ["/side", "/note"]
    assert (
        answer(filled(schema(Circle | Square), b'{"type":"circle","radius":1e3}')).body
        == b'{"type":"circle","radius":1e3}'
    )


def test_another_tag_asks_for_its_fields_first() -> None:
    pairs = [("tag:", '"circle"'), ("shown:", '"square"'), ("value:/side", "3"), ("value:/note", "")]

    form = submitted(schema(Circle | Square), pairs)

    assert [each.pointer for each in form.root.fields] == ["/radius"]
    assert answer(form).errors[""] == "Its fields have changed: fill them in."


def test_a_union_of_pydantic_and_one_without_a_discriminator_have_tags_too() -> None:
    class Cat(BaseModel):
        kind: Literal["cat"] = "cat"
        lives: int = 9

    class Dog(BaseModel):
        kind: Literal["dog", "puppy"] = "dog"

    contract = schema(Annotated[Cat | Dog, PydanticField(discriminator="kind")])
    plain = {name: value for name, value in contract.items() if name != "discriminator"}

    for each in (contract, plain):
        union = fields(each, b'{"kind":"puppy"}')[""]
        assert isinstance(union, Union)
        assert [label for _, label in union.options] == ["cat", "dog", "puppy"]


def test_without_a_choice_or_a_value_the_error_is_at_the_field() -> None:
    class Needed(msgspec.Struct):
        shape: Circle | Square
        colour: Colour
        extra: dict[str, int]

    assert answer(filled(schema(Needed))).errors == {
        "/shape": "Choose one of these.",
        "/colour": "Choose one of these.",
        "/extra": "A value is needed here, as JSON.",
    }


def test_raw_json_is_sent_as_it_is_and_its_errors_have_a_place() -> None:
    good = submitted(schema(dict[str, int]), [("json:", ' {"a":\r\n 1e400} ')])
    bad = submitted(schema(dict[str, int]), [("json:", '{"é":\n ä}')])

    assert answer(good).body == b'{"a":\n 1e400}'
    assert answer(bad).errors == {"": "This is no JSON: invalid character (line 2, column 2)."}


def test_what_a_field_cannot_show_exactly_is_json() -> None:
    for value in ("a\rb", "a\0b", "a\x1bb"):
        found = fields(schema(str), msgspec.json.encode(value))[""]
        assert isinstance(found, Raw)
    assert isinstance(fields(ORDER, b'{"name":"n","count":"three"}')["/count"], Raw)
    assert isinstance(fields(ORDER, b'{"name":"n","count":3,"unknown":1}')[""], Raw)
    assert isinstance(fields(ORDER, b'{"name":"n","count":3,"colour":"green"}')["/colour"], Raw)


def test_names_of_any_kind_stay_apart() -> None:
    contract = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("a/b", "a~1b", "~", '"><b>', "", " ")},
        "required": ["a/b"],
    }
    raw = b'{"a/b":"1","a~1b":"2","~":"3","\\"><b>":"4","":"5"," ":"6"}'

    form = filled(contract, raw)

    assert answer(form).body == raw
    assert {each.pointer for each in form.root.fields} == {"/a~1b", "/a~01b", "/~0", '/"><b>', "/", "/ "}
    newline = {"type": "object", "properties": {"a\nb": {"type": "string"}}}
    assert isinstance(filled(newline).root, Raw)


def test_deep_and_wide_schemas_end_in_json() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(50):
        deep = {"type": "object", "properties": {"a": deep}, "required": ["a"]}
    wide = {"type": "object", "properties": {f"m{number}": {"type": "string"} for number in range(10_000)}}
    huge = {
        "$defs": {
            str(level): {
                "type": "object",
                "required": [f"m{number}" for number in range(100)],
                "properties": {f"m{number}": {"$ref": f"#/$defs/{level + 1}"} for number in range(100)},
            }
            for level in range(20)
        },
        "$ref": "#/$defs/0",
    }

    assert max(pointer.count("/") for pointer in fields(deep)) == 5
    assert isinstance(fields(wide)[""], Raw)
    assert len(fields(huge)) < 1_000


def test_a_row_that_the_form_has_no_room_for_is_refused_and_nothing_is_lost() -> None:
    contract = schema(list[list[str]])
    pairs = [("rows:", "5")]
    for row in range(5):
        pairs += [(f"rows:/{row}", "78"), *((f"value:/{row}/{item}", "x") for item in range(78))]

    form = submitted(contract, pairs)
    full = submitted(contract, [*pairs, ("rows:/0", "79")], "add:/4")

    assert answer(form).errors == {}
    for _ in range(10):
        rows = dict(pairs)["rows:/4"]
        pairs = [(name, str(int(rows) + 1) if name == "rows:/4" else text) for name, text in pairs]
        full = submitted(contract, pairs, "add:/4")
        if full.refused:
            break
    assert full.refused.keys() == {"/4"}
    assert answer(full).body.count(b'"x"') == 390


def test_a_field_that_the_contract_has_no_more_is_not_dropped_without_a_word() -> None:
    form = submitted(schema(Circle), [("value:/radius", "1"), ("value:/colour", "red")])

    assert "no field /colour any more" in answer(form).errors[""]


def test_an_error_s_place_leads_to_its_field() -> None:
    form = filled(
        ORDER,
        b'{"name":"n","count":3,"regions":["JP","CL"],"extra":{"a":1},"shape":{"type":"circle","radius":1}}',
    )

    for where, pointer in {
        "$.regions[1]": "/regions/1",
        "$.shape.radius": "/shape/radius",
        "$.extra[...]": "/extra",
        "$.extra.a": "/extra",
        "$.nothing": "",
        "$": "",
        "query.delay": "",
    }.items():
        assert pointer_at(form, where) == pointer


def test_a_whole_value_of_any_kind_has_a_form() -> None:
    assert isinstance(fields(schema(int))[""], Line)
    assert isinstance(fields(schema(bool))[""], Tick)
    assert isinstance(fields(schema(Colour))[""], Choice)
    assert isinstance(fields(schema(Any))[""], Raw)
    assert isinstance(fields(schema(Order))[""], Group)


def test_a_fixed_number_of_items_has_a_row_each() -> None:
    rows = fields(schema(tuple[int, str]))[""]

    assert isinstance(rows, Rows)
    assert ([each.kind for each in rows.within], rows.can_add, rows.can_remove) == (
        ["line", "line"],
        False,
        False,
    )


def test_what_is_no_json_is_refused() -> None:
    for raw in (b"{", b"NaN", b"[" * 10_000 + b"]" * 10_000, b'"\\ud800"', b"\xff"):
        with pytest.raises(ValueError):
            filled(ORDER, raw)


def test_the_place_of_an_error_is_counted_as_people_do() -> None:
    assert line_and_column("ab\ncd", "what (byte 4)") == "what (line 2, column 2)"
    assert line_and_column("ab", "what") == "what"
