"""Reads a task message of Celery, protocol 2, JSON."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from mousetrap.shapes import DEFAULT_PRIORITY, HIGHEST_PRIORITY

#: What is read of a message's headers. The others describe who sent it, and differ when the same task is sent again.
_READ = (
    *("task", "id", "root_id", "parent_id", "group", "retries"),
    *("eta", "expires", "ignore_result", "compression", "lang"),
)
_JSON = "application/json"
_PROTOCOL_1 = "the sender writes protocol 1: set task_protocol = 2 there, as Celery has it since version 4"


class NotUnderstood(ValueError):
    """A message of Celery cannot be done here; the text has the fix."""


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a task, and what is to follow it. A signature in it is a mapping, as Celery writes it."""

    task: str
    id: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    root_id: str
    retries: int = 0
    #: Not before, and not after; aware.
    eta: datetime | None = None
    expires: datetime | None = None
    #: Sent when it is done, each with its result.
    callbacks: tuple[dict[str, Any], ...] = ()
    #: Sent when it failed, each with its id.
    errbacks: tuple[dict[str, Any], ...] = ()
    #: The rest of a chain, the next one last.
    chain: tuple[dict[str, Any], ...] = ()
    #: The body of a chord that it is in the header of.
    chord: Any = None
    #: The queue in which its sender waits for the result; empty where it does not.
    reply_to: str = ""
    #: Of its run.
    priority: int = DEFAULT_PRIORITY

    @property
    def leads_on(self) -> bool:
        """Whether anything follows it."""
        return bool(self.callbacks or self.errbacks or self.chain or self.chord)


class _Embedded(msgspec.Struct, frozen=True):
    callbacks: tuple[dict[str, Any], ...] | None = None
    errbacks: tuple[dict[str, Any], ...] | None = None
    chain: tuple[dict[str, Any], ...] | None = None
    chord: Any = None


class _Headers(msgspec.Struct, frozen=True):
    task: str
    id: str
    root_id: str | None = None
    retries: int | None = None
    eta: str | None = None
    expires: str | None = None
    compression: str | None = None
    ignore_result: bool | None = None


def kept_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a message's headers as JSON; of one that is no task's, all as text."""
    if isinstance(headers.get("task"), str):
        return {name: headers[name] for name in _READ if name in headers and _is_plain(headers[name])}
    return {str(name): value if _is_plain(value) else repr(value)[:200] for name, value in headers.items()}


def run_priority(priority: int) -> int:
    """The priority of a run for that of a message: the same from 5 to 9.

    Celery's clients write 0 where a call has none, so that 0 is our default, and nothing that goes before it there comes after it here.
    """
    return min(HIGHEST_PRIORITY, max(DEFAULT_PRIORITY, priority))


def read_invocation(
    headers: Mapping[str, Any], content_type: str, body: bytes, reply_to: str = "", priority: int = 0
) -> Invocation:
    """The call in a message. Raises NotUnderstood for one that is no JSON of protocol 2."""
    if content_type != _JSON:
        raise NotUnderstood(
            f"its body is {content_type[:60] or 'of no named type'}, which is not read here: let the sender write JSON, with "
            'task_serializer = "json"'
        )
    try:
        head = msgspec.convert(dict(headers), _Headers)
    except msgspec.ValidationError as error:
        raise NotUnderstood(f"its headers are no task's of protocol 2 ({error}); {_PROTOCOL_1}") from error
    if head.compression:
        raise NotUnderstood(
            f"its body is compressed ({head.compression}): leave task_compression out at the sender"
        )
    args, kwargs, embedded = _parts(body)
    return Invocation(
        task=head.task,
        id=head.id,
        args=args,
        kwargs=kwargs,
        root_id=head.root_id or head.id,
        retries=head.retries or 0,
        eta=read_time("eta", head.eta),
        expires=read_time("expires", head.expires),
        callbacks=embedded.callbacks or (),
        errbacks=embedded.errbacks or (),
        chain=embedded.chain or (),
        chord=embedded.chord,
        reply_to="" if head.ignore_result else reply_to,
        priority=run_priority(priority),
    )


def _parts(body: bytes) -> tuple[tuple[Any, ...], dict[str, Any], _Embedded]:
    try:
        args, kwargs, embedded = msgspec.json.decode(
            body, type=tuple[tuple[Any, ...], dict[str, Any], _Embedded]
        )
        return tuple(map(plain, args)), {name: plain(value) for name, value in kwargs.items()}, embedded
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotUnderstood(
            f"its body is no JSON of [args, kwargs, embed] ({error}); {_PROTOCOL_1}"
        ) from error


def plain(value: Any) -> Any:
    """The value without the marks that kombu puts around times, bytes, UUIDs and decimals: each as our contracts read it."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != {"__type__", "__value__"}:
        return {name: plain(each) for name, each in value.items()}
    kind, inner = value["__type__"], value["__value__"]
    if kind == "bytes" and isinstance(inner, str):
        return base64.b64encode(inner.encode()).decode()
    if kind == "uuid" and isinstance(inner, dict):
        return inner.get("hex")
    return plain(inner)


def read_time(name: str, text: str | None) -> datetime | None:
    """The time in a text; Celery sends UTC where it names no zone. Raises NotUnderstood."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise NotUnderstood(f"its {name} is {text[:60]!r}, which is no time in ISO 8601") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | int | float)
