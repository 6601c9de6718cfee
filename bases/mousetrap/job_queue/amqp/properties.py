"""Reads the properties of any sender's message; only our headers pass."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mousetrap.job_queue.topology.delay_ladder import RUNG
from mousetrap.jobs import DEFAULT_PRIORITY, HEADER_PREFIX, Message

#: The header for why the broker itself made a dead letter: rejected, expired, maxlen or delivery_limit.
REASON = f"{HEADER_PREFIX}reason"

_NOTHING: Mapping[str, str] = MappingProxyType({})


def read(properties: Any, body: bytes) -> Message:
    """The message of a delivery; of a foreign one, what can be read."""
    headers = properties.headers
    priority = DEFAULT_PRIORITY if properties.priority is None else properties.priority
    return Message(
        _text(properties.message_id or ""), body, _ours(headers) if headers else _NOTHING, priority
    )


def _ours(headers: Mapping[Any, Any]) -> Mapping[str, str]:
    ours = {
        _text(name): _text(value) for name, value in headers.items() if _text(name).startswith(HEADER_PREFIX)
    }
    if deaths := headers.get("x-death"):
        ours.update(_death_reason(deaths))
    return ours or _NOTHING


def _death_reason(deaths: Any) -> Mapping[str, str]:
    """The broker's reason, newest death first; it counts leaving a rung of the delay ladder as a death, and we do not."""
    for death in deaths if isinstance(deaths, list) else ():
        if isinstance(death, dict) and not _text(death.get("queue")).startswith(RUNG):
            return {REASON: _text(death.get("reason"))}
    return {}


def _text(value: Any) -> str:
    """Text of any value: pika gives bytes where text is not UTF-8, and other senders send other types."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else str(value)
