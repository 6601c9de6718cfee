"""Reads and writes values under a contract of any kind."""

import functools
from collections.abc import Callable
from types import GenericAlias
from typing import Any, Protocol

import msgspec

from mousetrap.pipeline.contract_broken import MAX_TEXT, ContractBroken, broken
from mousetrap.pipeline.gathered import gathered_item, is_gathered, read_gathered, schema_of_gathered
from mousetrap.pipeline.json_schema import JsonSchema
from mousetrap.pipeline.many import item_of
from mousetrap.pipeline.msgspec_contract import MsgspecContract
from mousetrap.pipeline.pydantic_contract import PydanticContract, is_pydantic
from mousetrap.pipeline.type_text import type_text
from mousetrap.retry import error_text


class _Checked(Protocol):
    """A contract, ready to check values. Its constructor raises TypeError, with the place, for one without a JSON form."""

    @property
    def read(self) -> Callable[[bytes | memoryview | msgspec.Raw], Any]: ...

    def write(self, value: Any) -> bytes: ...

    def schema(self) -> dict[str, Any]: ...


def read(raw: bytes | memoryview | msgspec.Raw, contract: Any) -> Any:
    """The value that `raw` (JSON) stands for, checked against `contract`.

    Raises ContractBroken, with the place, for anything that is not JSON or does not fit.
    """
    try:
        return _reader(contract)(raw)
    except ContractBroken:
        raise
    except (
        Exception
    ) as error:  # ours to expect are msgspec's; a check of the contract's own class can raise any
        raise broken(error) from error


def write(value: Any, contract: Any) -> bytes:
    """`value` as JSON, checked against `contract` by reading it back: annotations alone check nothing at run time.

    Raises ContractBroken for a value that has no JSON form or does not fit, NaN and infinities among them.
    """
    return _writer(contract)(value)


def schema(contract: Any) -> dict[str, Any]:
    """The contract as JSON Schema (draft 2020-12). Raises TypeError for one without a JSON form."""
    if is_gathered(contract):
        return _schema_of_gathered(contract)
    return _checked(contract).schema()


def require_json_form(what: str, contract: Any) -> None:
    """Raises ValueError, with the part of it and the fix, for a contract whose values have no JSON form."""
    try:
        _checked(contract)
    except Exception as error:  # resolving the names in a class's annotations runs its module's code
        raise ValueError(
            f"{what} is {type_text(contract)}, which has no JSON form: {error_text(error, MAX_TEXT)}. Use a msgspec.Struct, a "
            "dataclass, a TypedDict, a NamedTuple, a pydantic model or built-in types"
        ) from error


def has_msgpack_form(contract: Any) -> bool:
    """Whether msgspec itself can read the contract from msgpack; others are read by way of JSON."""
    ready = _checked(contract)
    return isinstance(ready, MsgspecContract) and not ready.has_raw  # a msgspec.Raw holds JSON


@functools.cache
def _reader(contract: Any) -> Callable[[bytes | memoryview | msgspec.Raw], Any]:
    return _checked(contract).read


@functools.cache
def _writer(contract: Any) -> Callable[[Any], bytes]:
    return _checked(contract).write


@functools.cache
def _checked(contract: Any) -> _Checked:
    if isinstance(contract, JsonSchema):
        return contract
    if (
        item := item_of(contract)
    ) is not None:  # they are written one by one; a reader of all of them has a list
        return _checked(GenericAlias(list, (item,)))
    if is_gathered(contract):
        _checked(gathered_item(contract))
    return PydanticContract(contract) if is_pydantic(contract) else MsgspecContract(contract, _gathered)


def _gathered(contract: Any, counted: Any) -> Any:
    return read_gathered(contract, counted, read)


def _schema_of_gathered(contract: Any) -> dict[str, Any]:
    outputs = dict(schema(GenericAlias(list, (gathered_item(contract),))))
    defined = outputs.pop("$defs", None)
    whole = schema_of_gathered(outputs)
    return whole if defined is None else whole | {"$defs": defined}
