"""Notices that another library traces pika's calls as well."""

import logging

from pika.connection import Connection

#: What to do about it.
ADVICE = "set OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=pika"

_log = logging.getLogger("mousetrap.job_queue")


def is_instrumented() -> bool:
    """Whether each channel is wrapped in this process, as OpenTelemetry's instrumentation for pika does."""
    return hasattr(Connection.channel, "__wrapped__")


def warn_if_instrumented() -> None:
    """Its spans end before a handler begins, and publishing is traced twice."""
    if is_instrumented():
        _log.warning(
            "pika is instrumented: its spans end before a handler begins, and publishing is traced twice; %s",
            ADVICE,
        )
