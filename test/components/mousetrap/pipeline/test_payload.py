"""Payloads cross in any serializer, and pickle is none."""

import datetime
import functools
import json
import marshal
import math
import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from mousetrap.pipeline import (
    ContractBroken,
    Payload,
    Serializer,
    SerializerMissing,
    Stage,
    payload_as_json,
    payload_as_text,
    payload_as_written,
    payload_size,
    read_payload,
    shown_payload,
    write_payload,
)


class Page(msgspec.Struct, frozen=True):
    """Text, bytes, a time and numbers."""

    url: str
    body: bytes
    at: datetime.datetime
    counts: dict[str, int]


class Model(BaseModel):
    """The same for pydantic."""

    url: str
    counts: dict[str, int]


class Holder(msgspec.Struct):
    """Holds JSON that is not read."""

    part: msgspec.Raw


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()[::-1]


def _load(data: bytes) -> Any:
    return json.loads(data[::-1])


BACKWARDS = Serializer("backwards", _dump, _load)
PAGE = Page("a", b"\xff\x00", datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC), {"x": 1})
SERIALIZERS: list[Any] = ["json", "msgpack", BACKWARDS]


def stage(contract: Any, serializer: Any = "json") -> Stage:
    return Stage(name="s", queue="q", input=contract, output=Any, serializer=serializer)


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("value", [PAGE, Model(url="é\u2028", counts={"x": 2**60}), 7, None, "text", [1.5]])
def test_a_payload_comes_back_as_it_was_written(value: Any, serializer: Any) -> None:
    contract = type(value) if value is not None else None
    taken = stage(contract, serializer)

    payload = write_payload(value, contract, taken)

    assert read_payload(payload, taken) == value
    assert json.loads(payload.raw) is not None or value is None


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_a_payload_has_the_same_json_form_whatever_wrote_it(serializer: Any) -> None:
    taken = stage(Page, serializer)

    payload = write_payload(PAGE, Page, taken)

    assert json.loads(payload_as_json(payload, taken)) == {
        "url": "a",
        "body": "/wA=",
        "at": "2026-01-02T03:00:00Z",
        "counts": {"x": 1},
    }


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_the_bytes_that_a_serializer_wrote_are_read_as_their_text_is(serializer: Any) -> None:
    taken = stage(Page, serializer)
    text = write_payload(PAGE, Page, taken)
    written = Payload(payload_as_written(text), text.serializer, is_text=serializer == "json")

    assert read_payload(written, taken) == PAGE
    assert payload_as_json(written, taken) == payload_as_json(text, taken)
    assert (payload_size(written), shown_payload(written)) == (payload_size(text), shown_payload(text))
    assert payload_as_text(written) == payload_as_text(text) == text.raw
    assert payload_as_written(written) == written.raw


def test_bytes_that_no_serializer_wrote_are_refused_and_shown_as_text() -> None:
    broken = Payload(b"\xc1", "msgpack", is_text=False)

    with pytest.raises(ContractBroken):
        read_payload(broken, stage(Page, "msgpack"))
    assert shown_payload(broken) == b'"wQ=="'


def test_a_payload_is_read_by_the_name_that_it_has_and_not_by_what_its_stage_takes_now() -> None:
    before, now = stage(Page, "msgpack"), stage(Page)

    assert read_payload(write_payload(PAGE, Page, before), now) == PAGE
    assert read_payload(write_payload(PAGE, Page, now), before) == PAGE
    assert read_payload(write_payload(PAGE, Page, now), stage(Page, BACKWARDS)) == PAGE


def test_bytes_are_a_third_smaller_in_msgpack_than_in_json_inside_it() -> None:
    body = bytes(3_000)
    payload = write_payload(body, bytes, stage(bytes, "msgpack"))

    assert payload_size(payload) < 3_010
    assert len(write_payload(body, bytes, stage(bytes)).raw) == 4_002


def test_a_serializer_that_the_stage_does_not_have_is_named_with_what_to_do() -> None:
    payload = write_payload(PAGE, Page, stage(Page, BACKWARDS))

    with pytest.raises(
        SerializerMissing, match=r"'backwards', which stage 's' .*Serializer\('backwards', dumps"
    ):
        read_payload(payload, stage(Page))
    with pytest.raises(SerializerMissing):
        payload_as_json(payload, None)
    assert payload_size(payload) == len(_dump(json.loads(payload_as_json(payload, stage(Page, BACKWARDS)))))


def test_a_payload_is_shown_as_json_and_one_of_a_custom_pair_as_its_name_and_size() -> None:
    packed, custom = (write_payload(PAGE, Page, stage(Page, it)) for it in ("msgpack", BACKWARDS))

    assert json.loads(shown_payload(packed))["body"] == "/wA="
    assert json.loads(shown_payload(custom)) == {"serializer": "backwards", "bytes": payload_size(custom)}
    assert shown_payload(Payload(b'"!"', "msgpack")) == b'"!"'
    assert shown_payload(Payload(b'{"n":1}')) == b'{"n":1}'


@pytest.mark.parametrize("raw", [b"1", b'"!"', b'"YQ"', b"{", b'"\xff"', b'"gQ=="', b'"wQ=="'])
@pytest.mark.parametrize("serializer", ["msgpack", BACKWARDS])
def test_what_is_no_payload_of_the_serializer_is_a_broken_contract(raw: bytes, serializer: Any) -> None:
    name = "msgpack" if serializer == "msgpack" else "backwards"

    with pytest.raises(ContractBroken):
        read_payload(Payload(raw, name), stage(Page, serializer))


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": -math.inf}, object()])
def test_what_has_no_json_form_is_written_by_no_serializer(value: Any, serializer: Any) -> None:
    with pytest.raises(ContractBroken):
        write_payload(value, Any, stage(Any, serializer))


def test_a_number_that_msgpack_has_no_room_for_is_a_broken_contract() -> None:
    assert write_payload(2**70, Any, stage(Any)).raw == str(2**70).encode()
    with pytest.raises(ContractBroken, match="no msgpack form"):
        write_payload(2**70, Any, stage(Any, "msgpack"))


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_a_value_outside_its_contract_is_refused_by_every_serializer(serializer: Any) -> None:
    with pytest.raises(ContractBroken):
        write_payload({"url": 1}, Page, stage(Page, serializer))


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_json_that_a_contract_does_not_read_stays_json(serializer: Any) -> None:
    taken = stage(Holder, serializer)

    payload = write_payload(Holder(msgspec.Raw(b'{"a": 1}')), Holder, taken)

    assert json.loads(bytes(read_payload(payload, taken).part)) == {"a": 1}


def test_what_a_custom_pair_raises_is_a_broken_contract_that_names_it() -> None:
    def fail(_: Any) -> Any:
        raise RuntimeError("no")

    text: Any = json.dumps
    broken = Serializer("broken", fail, fail)

    with pytest.raises(ContractBroken, match="'broken' cannot write it: RuntimeError: no"):
        write_payload(1, int, stage(int, broken))
    with pytest.raises(ContractBroken, match="'broken' cannot read it: RuntimeError: no"):
        read_payload(Payload(b'"YQ=="', "broken"), stage(int, broken))
    with pytest.raises(ContractBroken, match="dumps must return bytes"):
        write_payload(1, int, stage(int, Serializer("text", text, json.loads)))


class Wrapped:
    """Methods that hide what they call."""

    def dumps_pickle(self, value: Any) -> bytes:
        return pickle.dumps(value)


@pytest.mark.parametrize(
    ("name", "dumps", "loads"),
    [
        ("x", pickle.dumps, pickle.loads),
        ("x", _dump, pickle.loads),
        ("x", _dump, functools.partial(pickle.loads, encoding="bytes")),
        ("x", _dump, marshal.loads),
        ("x", Wrapped().dumps_pickle, _load),
        ("x", _dump, functools.wraps(pickle.loads)(lambda data: pickle.loads(data))),
        ("pickle", _dump, _load),
        ("cloudpickle5", _dump, _load),
    ],
)
def test_pickle_is_refused_however_it_is_given(name: str, dumps: Any, loads: Any) -> None:
    with pytest.raises(ValueError, match=r"pickle|any code"):
        Serializer(name, dumps, loads)


def test_a_serializer_that_is_none_is_refused_where_it_is_declared() -> None:
    with pytest.raises(ValueError, match="serializer 'json' is built in"):
        Serializer("json", _dump, _load)
    with pytest.raises(ValueError, match="serializer name 'A b'"):
        Serializer("A b", _dump, _load)
    with pytest.raises(TypeError, match="loads is None: give a function"):
        Serializer("x", _dump, None)  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"stage 's': serializer is 'yaml': write 'json', 'msgpack' or Serializer"
    ):
        stage(int, "yaml")


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(value=plain, serializer=st.sampled_from(SERIALIZERS))
def test_any_plain_value_crosses_every_serializer(value: Any, serializer: Any) -> None:
    taken = stage(Any, serializer)
    try:
        payload = write_payload(value, Any, taken)
    except ContractBroken:
        with pytest.raises(ContractBroken):
            write_payload(value, Any, stage(Any))
        return

    assert read_payload(payload, taken) == value
    assert msgspec.json.decode(payload_as_json(payload, taken)) == value
