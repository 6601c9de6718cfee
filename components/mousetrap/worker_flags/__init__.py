"""The options of a worker's command line, defined once for every program."""

from mousetrap.worker_flags.flags import (
    AUTO_KILL,
    BURST,
    CONCURRENCY,
    NO_FLAGS,
    OTHER_OPTIONS,
    PREFETCH,
    PROCESSES,
    RELOAD,
    Flag,
    Span,
    WorkerFlags,
)

__all__ = [
    "AUTO_KILL",
    "BURST",
    "CONCURRENCY",
    "NO_FLAGS",
    "OTHER_OPTIONS",
    "PREFETCH",
    "PROCESSES",
    "RELOAD",
    "Flag",
    "Span",
    "WorkerFlags",
]
