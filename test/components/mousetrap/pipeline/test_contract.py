"""Contracts hold at run time, and say where they are broken."""

import msgspec
import pytest

from mousetrap.pipeline import ContractBroken, read, schema, write


class Point(msgspec.Struct, frozen=True):
    """A place on a plane."""

    x: int
    y: int = 0


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b'{"x": "1"}', "$.x"),
        (b"{}", "$"),
        (b"[1]", "$"),
        (b"{", "$"),
        (b"\xff\xfe", "$"),
        (b"[" * 100_000, "$"),
        (b'{"x": NaN}', "$"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(raw: bytes, where: str) -> None:
    with pytest.raises(ContractBroken) as broken:
        read(raw, Point)

    assert broken.value.where == where


def test_a_value_comes_back_as_it_was_written() -> None:
    assert read(write(Point(1, 2), Point), Point) == Point(1, 2)


@pytest.mark.parametrize("value", [{"x": "one"}, Point(x="one"), object(), 3])  # type: ignore[arg-type]
def test_a_handler_that_returns_something_else_than_it_promised_is_found_out(value: object) -> None:
    with pytest.raises(ContractBroken):
        write(value, Point)


def test_the_schema_is_the_contract_in_words_that_others_know() -> None:
    point = schema(Point)["$defs"]["Point"]

    assert point["required"] == ["x"]
    assert point["properties"]["y"] == {"type": "integer", "default": 0}
