"""Reads and writes values under a contract."""

import functools
from typing import Any

import msgspec

from mousetrap.pipeline.non_finite import non_finite
from mousetrap.retry import error_kind, error_text

#: Characters of an error's text that are kept.
_MAX_TEXT = 1_000


class ContractBroken(Exception):
    """The value does not fit the contract: correct the part that `where` names, or the contract."""

    def __init__(self, what: str, where: str = "$") -> None:
        super().__init__(what, where)
        self.what = what
        #: A JSON path; `$` is the whole value.
        self.where = where

    def __str__(self) -> str:
        return f"{self.what} (at {self.where})"


def read(raw: bytes | memoryview | msgspec.Raw, contract: Any) -> Any:
    """The value that `raw` (JSON) stands for, checked against `contract`.

    Raises ContractBroken, with the place, for anything that is not JSON or does not fit.
    """
    try:
        return _decoder(contract).decode(raw)
    except (
        Exception
    ) as error:  # ours to expect are msgspec's; a check of the contract's own class can raise any
        raise _broken(error) from error


def write(value: Any, contract: Any) -> bytes:
    """`value` as JSON, checked against `contract` by reading it back: annotations alone check nothing at run time.

    Raises ContractBroken for a value that has no JSON form or does not fit, NaN and infinities among them.
    """
    try:
        raw = _encoder.encode(value)
    except (msgspec.EncodeError, TypeError, ValueError, RecursionError) as error:
        raise ContractBroken(f"no JSON form: {error_text(error, _MAX_TEXT)}") from error
    if b"null" in raw and (found := non_finite(value)) is not None:
        raise ContractBroken(*found)
    read(raw, contract)
    if _has_raw(contract):
        read(raw, Any)  # its Raw parts are checked here alone
    return raw


def schema(contract: Any) -> dict[str, Any]:
    """The contract as JSON Schema (draft 2020-12)."""
    return msgspec.json.schema(contract)


_encoder = msgspec.json.Encoder()


@functools.cache
def _decoder(contract: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(contract)


@functools.cache
def _has_raw(contract: Any) -> bool:
    return "RawType()" in repr(msgspec.inspect.type_info(contract))


def _broken(error: Exception) -> ContractBroken:
    text = error_text(error, _MAX_TEXT)
    if not isinstance(error, msgspec.DecodeError | UnicodeDecodeError | RecursionError):
        return ContractBroken(f"its own check raised {error_kind(error)}: {text}")
    what, _, where = text.partition(" - at `")
    return ContractBroken(what, where.rstrip("`") or "$")
