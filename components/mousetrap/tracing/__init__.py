"""Traces runs, where a tracer provider is set."""

from typing import TYPE_CHECKING, Any

from mousetrap.tracing.current import TraceIds, current_ids, current_trace, enter_trace
from mousetrap.tracing.provider import open_tracer

if TYPE_CHECKING:
    from mousetrap.tracing.tracer import AttemptSpan, Tracer

__all__ = [
    "AttemptSpan",
    "TraceIds",
    "Tracer",
    "current_ids",
    "current_trace",
    "enter_trace",
    "open_tracer",
]


def __getattr__(name: str) -> Any:
    """The classes that need the library."""
    if name not in ("AttemptSpan", "Tracer"):
        raise AttributeError(name)
    from mousetrap.tracing import tracer

    return getattr(tracer, name)
