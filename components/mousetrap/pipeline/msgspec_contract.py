"""Checks values against types that msgspec reads."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import inspect

from mousetrap.pipeline.contract_broken import MAX_TEXT, ContractBroken, broken
from mousetrap.pipeline.gathered import is_gathered, written_gathered
from mousetrap.pipeline.non_finite import non_finite
from mousetrap.pipeline.type_text import type_text
from mousetrap.retry import error_text

_encode = msgspec.json.Encoder().encode
_read_any = msgspec.json.Decoder(Any).decode

#: What a key of a JSON object, which is text, cannot stand for.
_NO_KEYS = (
    inspect.CollectionType,
    inspect.TupleType,
    inspect.DictType,
    inspect.DataclassType,
    inspect.StructType,
    inspect.TypedDictType,
    inspect.NamedTupleType,
)
#: What no null fits, nor holds members of no contract: NaN, which becomes one, is refused when it is read back.
_NO_NULL = (
    inspect.StrType,
    inspect.BytesType,
    inspect.BoolType,
    inspect.IntType,
    inspect.FloatType,
    inspect.DateTimeType,
    inspect.CollectionType,
    inspect.TupleType,
    inspect.DictType,
    inspect.UnionType,
)
#: An exact value of these is as its contract has it, and its JSON can be read.
_PLAIN = (str, bytes)


class MsgspecContract:
    """Structs, dataclasses, typed dictionaries, named tuples, built-in types, and unions of them.

    Raises TypeError, with the place, for a type without a JSON form.
    """

    def __init__(self, contract: Any, gathered: Callable[[Any, Any], Any]) -> None:
        """`gathered` makes Gathered outputs of their contract and the plain form of their counts."""
        self._contract = contract
        has_gathered = False
        #: Whether a part of its values is JSON that is not read.
        self.has_raw = False
        #: Whether NaN in a value may be read back as null.
        self._takes_null = False
        self._plain = contract if contract in _PLAIN else None
        for where, part in _parts(inspect.type_info(contract), "$", set()):
            _refuse(where, part)
            self.has_raw |= isinstance(part, inspect.RawType)
            has_gathered |= isinstance(part, inspect.CustomType)
            self._takes_null |= not isinstance(part, _NO_NULL)
        #: The value of some JSON; the decoder's own method, as a function around it costs a tenth of the reading.
        self.read = msgspec.json.Decoder(contract).decode
        self._encode = _encode
        if has_gathered:
            self.has_raw = True  # no serializer but JSON has it
            self.read = msgspec.json.Decoder(contract, dec_hook=gathered).decode
            self._encode = msgspec.json.Encoder(enc_hook=written_gathered).encode

    def write(self, value: Any) -> bytes:
        """`value` as JSON, read back. Raises ContractBroken for a value that does not fit or has no JSON form.

        At 1 MiB writing takes 180 µs, and so does reading back; to look for null takes 450.
        """
        try:
            raw = self._encode(value)
        except (msgspec.EncodeError, TypeError, ValueError, RecursionError) as error:
            raise ContractBroken(f"no JSON form: {error_text(error, MAX_TEXT)}") from error
        if type(value) is self._plain:
            return raw
        if self._takes_null:
            _refuse_non_finite(value, raw)
        try:
            self.read(raw)
            if self.has_raw:  # its Raw parts are checked here alone
                _read_any(raw)
        except Exception as error:  # the check of a contract's own class can raise any
            _refuse_non_finite(value, raw)
            raise broken(error) from error
        return raw

    def schema(self) -> dict[str, Any]:
        """The type as JSON Schema."""
        made = msgspec.json.schema(self._contract, schema_hook=_hooked_schema)
        # As it is where it was sent or recorded: a default can be a tuple, which differs from the array that it becomes.
        sent: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(made))
        return sent


def _refuse_non_finite(value: Any, raw: bytes) -> None:
    """Raises ContractBroken, with the place, for NaN or an infinity in the value that was written as `raw`."""
    if b"null" in raw and (found := non_finite(value)) is not None:
        raise ContractBroken(*found)


def _hooked_schema(part: type) -> dict[str, Any]:
    """The schema of Gathered outputs within another contract, as Fallen: of which, the stage that it falls back from has."""
    return {"title": part.__name__, "type": "object"}


def _refuse(where: str, part: inspect.Type) -> None:
    if isinstance(part, inspect.CustomType) and not is_gathered(part.cls):
        raise TypeError(f"msgspec cannot read {type_text(part.cls)}, at {where}")
    if isinstance(part, inspect.DictType) and isinstance(part.key_type, _NO_KEYS):
        raise TypeError(f"the keys of {where} cannot be texts, as keys of a JSON object are")


def _parts(part: Any, where: str, seen: set[int]) -> Iterator[tuple[str, inspect.Type]]:
    """The type and all types in it, each with its JSON path."""
    if id(part) in seen or not isinstance(part, inspect.Type):
        return
    seen.add(id(part))  # a type can contain itself
    yield where, part
    for field in getattr(part, "fields", ()):
        yield from _parts(field.type, f"{where}.{field.encode_name}", seen)
    for name in ("key_type", "value_type"):
        yield from _parts(getattr(part, name, None), f"{where}{{}}", seen)
    yield from _parts(getattr(part, "item_type", None), f"{where}[]", seen)
    for each in getattr(part, "item_types", ()):
        yield from _parts(each, f"{where}[]", seen)
    for each in getattr(part, "types", ()):
        yield from _parts(each, where, seen)
