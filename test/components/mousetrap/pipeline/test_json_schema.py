"""A JSON Schema is a contract: values fit it, or are refused."""

from typing import Annotated, Any

import msgspec
import pytest

from mousetrap.pipeline import ContractBroken, JsonSchema, all_of, read, schema, write


class Word(msgspec.Struct, forbid_unknown_fields=True):
    """A word, and how often it was seen."""

    text: Annotated[str, msgspec.Meta(max_length=10)]
    seen: int = 0
    inner: "list[Word]" = []


WORD = JsonSchema(schema(Word))


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b"{}", "$"),
        (b'{"text": 7}', "$.text"),
        (b'{"text": "far too long a word"}', "$.text"),
        (b'{"text": "a", "more": 1}', "$"),
        (b'{"text": "a", "inner": [{"text": "b"}, {"text": "c", "seen": "often"}]}', "$.inner[1].seen"),
        (b"{", "$"),
        (b"\xff\xfe", "$"),
        (b"[" * 100_000, "$"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place_as_the_type_does(raw: bytes, where: str) -> None:
    for contract in (WORD, Word):
        with pytest.raises(ContractBroken) as broken:
            read(raw, contract)

        assert broken.value.where == where


def test_nan_is_no_json() -> None:
    with pytest.raises(ContractBroken):
        read(b'{"text": "a", "seen": NaN}', WORD)


def test_an_error_does_not_repeat_the_value() -> None:
    with pytest.raises(ContractBroken) as broken:
        read(b'{"text": ["my secret"]}', WORD)

    assert "my secret" not in str(broken.value)


@pytest.mark.parametrize(
    "raw",
    [b'{"text": "a"}', b'{"text":"a","seen":123456789012345678901234567890}', b'{"seen":1.0,"text":"a"}'],
)
def test_what_fits_is_handed_on_as_it_was_sent(raw: bytes) -> None:
    assert write(read(raw, WORD), WORD) == raw


def test_equal_schemas_are_equal_contracts_in_any_order_of_their_members() -> None:
    one, other = JsonSchema({"type": "string", "title": "a"}), JsonSchema({"title": "a", "type": "string"})

    assert one == other
    assert hash(one) == hash(other)
    assert one != JsonSchema({"type": "string"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "nonsense"},
        {"$ref": "#/$defs/Nowhere"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"pattern": "("},
        {"pattern": "(a{1000}){1000}"},
    ],
)
def test_what_is_no_schema_or_leads_elsewhere_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        JsonSchema(wrong)


def test_a_schema_of_any_depth_ends() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"not": deep}

    with pytest.raises(ValueError):
        JsonSchema(deep)
    assert read(b"1", JsonSchema({"$ref": "#"})) == msgspec.Raw(b"1")


def test_a_pattern_of_exponential_time_is_a_quick_refusal() -> None:
    slow = JsonSchema({"type": "string", "pattern": "^(?=(a+)+$)(a|b)*\\1c"})

    with pytest.raises(ContractBroken):
        read(b'"' + b"a" * 5_000 + b'!"', slow)


def test_what_must_fit_several_schemas_is_held_to_each() -> None:
    class Older(msgspec.Struct):
        text: str

    class Newer(msgspec.Struct):
        text: str
        size: int

    both = JsonSchema(all_of([schema(Older), schema(Newer)]))

    assert read(b'{"text":"a","size":1}', both)
    with pytest.raises(ContractBroken, match="size"):
        read(b'{"text":"a"}', both)


def test_the_end_of_a_text_as_python_writes_it_is_one() -> None:
    """A class with such a pattern made its worker's manifest refused."""
    name = {"type": "string", "pattern": r"^a\\?\Z"}
    schema = JsonSchema({"properties": {"pattern": name, "literal": {"const": {"pattern": r"\Z"}}}})

    assert schema.read(rb'{"pattern":"a","literal":{"pattern":"\\Z"}}')
    for wrong in (rb'{"pattern":"a\n"}', rb'{"pattern":"aZ"}', rb'{"literal":{"pattern":"\\z"}}'):
        with pytest.raises(ContractBroken):
            schema.read(wrong)
