"""Opens the queue that the settings name."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from mousetrap.job_queue.connect import connect
from mousetrap.job_queue.options import QueueOptions
from mousetrap.jobs import Queue
from mousetrap.settings import Settings


def open_queue(
    settings: Settings, queues: Iterable[str], *, name: str, deadline: float | None = None
) -> AbstractAsyncContextManager[Queue]:
    """The queue at `settings.broker_url`; `deadline` (seconds) replaces the settings' wait for a confirm."""
    options = options_of(settings)
    if deadline is not None:
        options = replace(options, confirm_deadline=deadline)
    return connect(settings.broker_url, queues, name=name, options=options)


def options_of(settings: Settings) -> QueueOptions:
    """The part of the settings that queues are declared and used by."""
    return QueueOptions(
        queue_type=settings.queue_type,
        max_length=settings.queue_max_length,
        max_bytes=settings.queue_max_bytes,
        confirm_deadline=settings.confirm_seconds,
        heartbeat=settings.heartbeat_seconds,
        declare=settings.declare,
        tls=settings.tls,
    )
