"""Reads and writes payloads, whichever serializer wrote them."""

import binascii
import functools
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from mousetrap.pipeline.contract import has_msgpack_form, read, write
from mousetrap.pipeline.contract_broken import MAX_TEXT, ContractBroken, broken
from mousetrap.pipeline.limit import LimitAt, limits_at
from mousetrap.pipeline.non_finite import may_have_non_finite, non_finite
from mousetrap.pipeline.serializer import JSON, MSGPACK, Serializer, SerializerMissing
from mousetrap.pipeline.stage import Stage
from mousetrap.retry import error_kind, error_text

#: The name of the serializer that wrote a payload; unset for JSON.
SerializerName = str | msgspec.UnsetType


class Payload(NamedTuple):
    """A written value, as messages and the store hold it."""

    #: JSON: the value's own, or the base64 text of what another serializer wrote; where it is no text, what that wrote.
    raw: bytes
    serializer: SerializerName = msgspec.UNSET
    #: Whether `raw` is JSON. The store's always is; a message of format 5 has the bytes of a serializer as they are.
    is_text: bool = True


def write_payload(value: Any, contract: Any, stage: Stage) -> Payload:
    """`value`, checked against `contract`, written with what `stage` takes.

    Raises ContractBroken for a value that does not fit or that the serializer cannot write.
    """
    serializer = stage.serializer
    if serializer == JSON:
        return Payload(write(value, contract))
    if isinstance(serializer, Serializer):
        return Payload(_packed(_dump(value, contract, serializer)), serializer.name)
    return Payload(_packed(_writer(contract)(value)), MSGPACK)


def read_payload(payload: Payload, stage: Stage) -> Any:
    """The value of a payload for `stage`, checked against what it takes.

    Raises ContractBroken, with the place, and SerializerMissing where the stage does not have the payload's serializer.
    """
    if payload.serializer in (msgspec.UNSET, JSON):
        return read(payload.raw, stage.input)
    if payload.serializer == MSGPACK:
        return _reader(stage.input)(payload_as_written(payload))
    return read(_load(payload, stage), stage.input)


def payload_as_json(payload: Payload, stage: Stage | None) -> bytes:
    """The payload's JSON form: bytes become base64, a time its text. Its contract is not checked.

    Raises ContractBroken for one that has none, and SerializerMissing where `stage` does not have its serializer.
    """
    if payload.serializer in (msgspec.UNSET, JSON):
        return payload.raw
    if payload.serializer == MSGPACK:
        return _as_json(payload_as_written(payload))
    return _load(payload, stage)


def payload_size(payload: Payload) -> int:
    """How many bytes its serializer wrote. Raises ContractBroken for what is no such payload."""
    return len(payload_as_written(payload))


def shown_payload(payload: Payload) -> bytes:
    """The payload as JSON for people, where no code of its stage is at hand: of a custom serializer, its name and its bytes."""
    with suppress(ContractBroken):
        try:
            return payload_as_json(payload, None)
        except SerializerMissing:
            return msgspec.json.encode({"serializer": payload.serializer, "bytes": payload_size(payload)})
    return payload_as_text(payload)  # it is no payload of its serializer


def payload_as_text(payload: Payload) -> bytes:
    """The payload as the store holds it: JSON, or the base64 text of what a serializer wrote."""
    return payload.raw if payload.is_text else _packed(payload.raw)


def payload_as_written(payload: Payload) -> bytes:
    """The bytes that its serializer wrote. Raises ContractBroken for what is no text of such."""
    if payload.serializer in (msgspec.UNSET, JSON) or not payload.is_text:
        return payload.raw
    return _unpacked(payload.raw)


def lock_key(payload: Payload, stage: Stage) -> str:
    """The lock that a job of `stage` needs, the same whatever wrote its payload; empty where the stage has none."""
    if stage.lock is None:
        return ""
    try:
        return stage.lock.key(payload_as_json(payload, stage))
    except (ContractBroken, SerializerMissing):  # a failure of the attempt, and not of the claim
        return stage.lock.key(b"null")


def limits_met(payload: Payload, pipeline: str, stage: Stage) -> tuple[LimitAt, ...]:
    """The limits that a job of `stage` meets, the same whatever wrote its payload."""
    try:
        raw = payload_as_json(payload, stage)
    except (ContractBroken, SerializerMissing):  # a failure of the attempt, and not of the claim
        raw = b"null"
    return limits_at(f"{pipeline}.{stage.name}", stage.limits, raw)


def _packed(data: bytes) -> bytes:
    return b'"' + binascii.b2a_base64(data, newline=False) + b'"'


def _unpacked(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(msgspec.json.decode(text, type=str), strict_mode=True)
    except (msgspec.DecodeError, ValueError) as error:
        raise ContractBroken(f"it is not the base64 text of a payload: {error}") from error


def _dump(value: Any, contract: Any, serializer: Serializer) -> bytes:
    plain = msgspec.json.decode(write(value, contract))
    try:
        data = serializer.dumps(plain)
    except Exception as error:
        raise _failed(serializer, "write", error) from error
    if not isinstance(data, bytes):
        raise ContractBroken(
            f"serializer {serializer.name!r} gave a {type(data).__name__}: dumps must return bytes"
        )
    return data


def _load(payload: Payload, stage: Stage | None) -> bytes:
    """The JSON of what a custom serializer wrote."""
    serializer = stage.serializer if stage else None
    if not isinstance(serializer, Serializer) or serializer.name != payload.serializer:
        raise SerializerMissing(str(payload.serializer), stage.name if stage else "")
    data = payload_as_written(payload)
    try:
        plain = serializer.loads(data)
    except Exception as error:
        raise _failed(serializer, "read", error) from error
    return write(plain, Any)


def _failed(serializer: Serializer, what: str, error: Exception) -> ContractBroken:
    text = error_text(error, MAX_TEXT)
    return ContractBroken(f"serializer {serializer.name!r} cannot {what} it: {error_kind(error)}: {text}")


@functools.cache
def _reader(contract: Any) -> Callable[[bytes], Any]:
    """Reads msgpack, at once where msgspec can, else by way of JSON."""
    if not has_msgpack_form(contract):
        return lambda data: read(_as_json(data), contract)
    decode = msgspec.msgpack.Decoder(contract).decode

    def read_directly(data: bytes) -> Any:
        try:
            return decode(data)
        except Exception as error:  # a check of the contract's own class can raise any
            raise broken(error) from error

    return read_directly


@functools.cache
def _writer(contract: Any) -> Callable[[Any], bytes]:
    """Writes msgpack, and reads it back, as annotations check nothing at run time."""
    if not has_msgpack_form(contract):
        return lambda value: _encode(msgspec.json.decode(write(value, contract)))
    read_back = _reader(contract)

    def write_directly(value: Any) -> bytes:
        data = _encode(value)
        if may_have_non_finite(data) and (found := non_finite(value)) is not None:
            raise ContractBroken(*found)
        read_back(data)
        return data

    return write_directly


def _encode(value: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except (msgspec.EncodeError, OverflowError, TypeError, ValueError, RecursionError) as error:
        raise ContractBroken(f"no msgpack form: {error_text(error, MAX_TEXT)}") from error


def _as_json(data: bytes) -> bytes:
    try:
        return msgspec.json.encode(msgspec.msgpack.decode(data))
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, ValueError, RecursionError) as error:
        raise ContractBroken(f"no JSON form: {error_text(error, MAX_TEXT)}") from error
