"""Reads what came beside a body on the wire, from whoever sent it; only our own headers pass."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mousetrap.job_queue.topology.delay_ladder import RUNG
from mousetrap.jobs import HEADER_PREFIX, Message

#: Where a dead letter that the broker made itself says why: rejected, expired, maxlen or delivery_limit.
REASON = f"{HEADER_PREFIX}reason"

_NOTHING: Mapping[str, str] = MappingProxyType({})


def read(properties: Any, body: bytes) -> Message:
    """The message that a delivery carries; of a foreign one, what can be had."""
    headers = properties.headers
    return Message(_text(properties.message_id or ""), body, _ours(headers) if headers else _NOTHING)


def _ours(headers: Mapping[Any, Any]) -> Mapping[str, str]:
    ours = {
        _text(name): _text(value) for name, value in headers.items() if _text(name).startswith(HEADER_PREFIX)
    }
    if deaths := headers.get("x-death"):
        ours.update(_why_dead(deaths))
    return ours or _NOTHING


def _why_dead(deaths: Any) -> Mapping[str, str]:
    """The broker's reason, newest death first; leaving a rung of the delay ladder is a death to it, and none to us."""
    for death in deaths if isinstance(deaths, list) else ():
        if isinstance(death, dict) and not _text(death.get("queue")).startswith(RUNG):
            return {REASON: _text(death.get("reason"))}
    return {}


def _text(value: Any) -> str:
    """pika gives bytes where text is no UTF-8, and other senders give other types."""
    return (
        value
        if isinstance(value, str)
        else value.decode(errors="replace")
        if isinstance(value, bytes)
        else str(value)
    )
