"""Finds out, once, whether this process traces."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mousetrap.tracing.tracer import Tracer


def is_loaded() -> bool:
    """Whether the library is loaded: who sets a provider has loaded it."""
    return "opentelemetry.trace" in sys.modules


def open_tracer(worker: str = "") -> "Tracer | None":
    """The tracer of this process; None where no provider is set. Ask once, at the start.

    The library's own stand-ins make spans too, which no one sees: 24 µs a job.
    """
    if not is_loaded():
        return None
    from opentelemetry import trace

    from mousetrap.tracing.tracer import Tracer

    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return Tracer(provider, worker)
