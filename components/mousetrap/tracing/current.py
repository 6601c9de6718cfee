"""Reads the span around the running code; puts code into one."""

from typing import NamedTuple

from msgspec import UNSET, UnsetType

from mousetrap.jobs import TraceContext
from mousetrap.tracing.provider import is_loaded


class TraceIds(NamedTuple):
    """Of a span, in hexadecimal digits."""

    trace_id: str
    span_id: str


def current_ids() -> TraceIds | None:
    """The ids of the running code's span; None outside of any."""
    if not is_loaded():
        return None
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return TraceIds(trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id))


def current_trace() -> TraceContext | UnsetType:
    """The running code's span as another process is given it."""
    if not is_loaded() or current_ids() is None:
        return UNSET
    from opentelemetry import context

    from mousetrap.tracing.carrier import trace_of

    return trace_of(context.get_current())


def enter_trace(trace: TraceContext) -> None:
    """From here on the running context is in that span, of another process. Nothing happens without the library."""
    try:
        from opentelemetry import context
    except ImportError:
        return
    from mousetrap.tracing.carrier import context_of

    context.attach(context_of(trace))
