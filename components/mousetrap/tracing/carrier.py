"""Makes a context of what a message carries, and back."""

from msgspec import structs
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mousetrap.jobs import TraceContext

_propagator = TraceContextTextMapPropagator()
#: Characters of a `tracestate`: a longer one is left out.
_MOST_STATE = 512


def context_of(carried: TraceContext) -> Context:
    """The context that was created elsewhere; an empty one where nothing is carried, or nothing that can be read."""
    if not carried.traceparent:
        return Context()
    return _propagator.extract(
        {"traceparent": carried.traceparent, "tracestate": carried.tracestate}, Context()
    )


def trace_of(context: Context) -> TraceContext:
    """What a message carries of the context's span."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, context)
    state = carrier.get("tracestate", "")
    return TraceContext(carrier.get("traceparent", ""), state if len(state) <= _MOST_STATE else "")


def linked_to(traceparent: str) -> list[trace.Link]:
    """A link to that span; none where there is none."""
    if not traceparent:
        return []
    context = trace.get_current_span(context_of(TraceContext(traceparent))).get_span_context()
    return [trace.Link(context)] if context.is_valid else []


def leading_back(carried: TraceContext, to: str) -> TraceContext:
    """The same context, with a link."""
    return structs.replace(carried, link=to)
