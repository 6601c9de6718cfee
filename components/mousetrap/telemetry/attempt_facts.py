"""Holds which attempt the running code belongs to, for its log lines."""

import logging
from contextvars import ContextVar
from typing import Any

import msgspec

from mousetrap.jobs import Job
from mousetrap.tracing import TraceIds, current_ids


class AttemptFacts(msgspec.Struct, frozen=True, gc=False):
    """What each log line of an attempt has beside its message."""

    run: str
    pipeline: str
    stage: str
    job: str
    #: 1 for the first try.
    attempt: int
    worker: str


#: The facts of a line.
NAMES = (*AttemptFacts.__struct_fields__, *TraceIds._fields)
#: In the context that a handler runs in, and in whatever is begun from there: tasks, and threads that get a copy of it.
_current: ContextVar[AttemptFacts | tuple[Job, str] | None] = ContextVar("attempt", default=None)


#: From here on the running context is the attempt's: its facts; or a job and its worker, of which they are made once asked for. Each
#: job comes here, so no function is around it.
belongs_to = _current.set


def current_attempt() -> AttemptFacts | None:
    """The attempt that the running code belongs to; None outside of handlers."""
    attempt = _current.get()
    if isinstance(attempt, tuple):
        job, worker = attempt
        return AttemptFacts(job.run_id, job.pipeline, job.stage, job.id, job.attempt, worker)
    return attempt


def log_facts() -> dict[str, Any]:
    """The facts of the attempt that the running code belongs to, and the ids of its span; empty outside of handlers."""
    facts = current_attempt()
    if facts is None:
        return {}
    ids = current_ids()
    return msgspec.structs.asdict(facts) | (ids._asdict() if ids else {})


class AttemptFilter(logging.Filter):
    """Puts the facts on each record that a handler causes, also from another library. It drops none.

    What the record has already stays. Asked when a line is written, it costs an attempt that logs nothing no time.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True."""
        if _current.get() is not None:  # else it is no handler's, as each of the API's lines
            for name, value in log_facts().items():
                record.__dict__.setdefault(name, value)
        return True
