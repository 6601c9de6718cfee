"""Contracts hold at run time, and say where they are broken."""

import math
from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@dataclass
class Measured:
    """A value of the usual kind, with a float that may be missing."""

    depth: float | None
    more: Any = None


class Named(TypedDict):
    """A value that may have more members than its contract names."""

    name: str


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("value", "contract", "what", "where"),
    [
        (NAN, float, "nan", "$"),
        (NAN, float | None, "nan", "$"),
        (-INF, Any, "-inf", "$"),
        (NAN, str, "nan", "$"),
        ([1.5, NAN], list[float], "nan", "$[1]"),
        ({"a": (1, INF)}, dict[str, tuple[int, ...]], "inf", "$.a[1]"),
        ({"name": "a", "not named": NAN}, Named, "nan", "$.not named"),
        (NAN, int | None, "nan", "$"),
        (Measured(INF), Measured, "inf", "$.depth"),
        (Measured(1.0, {"rows": [1, {2: NAN}]}), Measured, "nan", "$.more.rows[1].2"),
        ([1, (2, NAN)], list[Any], "nan", "$[1][1]"),
        ({"raw": msgspec.Raw(b"null"), "long": 2**70, "n": NAN}, Any, "nan", "$.n"),
    ],
)
def test_a_number_that_json_does_not_have_is_refused_with_its_place_and_never_becomes_null(
    value: object, contract: Any, what: str, where: str
) -> None:
    with pytest.raises(ContractBroken) as broken:
        write(value, contract)

    assert (broken.value.what, broken.value.where) == (f"{what} is no JSON number", where)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


@given(values)
def test_any_value_comes_back_equal_or_is_refused(value: Any) -> None:
    try:
        raw = write(value, Any)
    except ContractBroken:
        assert "nan" in repr(value) or "inf" in repr(value)
    else:
        assert read(raw, Any) == value


@pytest.mark.parametrize("raw", [b"1e999", b'"\xff"', b"NaN"])
def test_raw_parts_that_are_no_json_are_refused(raw: bytes) -> None:
    for contract in (msgspec.Raw, list[msgspec.Raw]):
        with pytest.raises(ContractBroken):
            write(msgspec.Raw(raw) if contract is msgspec.Raw else [msgspec.Raw(raw)], contract)


class Checked(msgspec.Struct):
    """Its own check fails in a way that no contract should."""

    key: str

    def __post_init__(self) -> None:
        raise KeyError(self.key)


def test_a_contract_whose_own_check_fails_is_broken() -> None:
    with pytest.raises(ContractBroken, match="its own check raised KeyError: 'x'"):
        read(b'{"key": "x"}', Checked)
