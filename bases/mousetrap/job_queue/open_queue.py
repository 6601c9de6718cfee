"""Opens the queue at an address: RabbitMQ, or streams on Valkey."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from mousetrap.job_queue.rabbitmq import open_rabbitmq
from mousetrap.jobs import Queue, QueueOptions
from mousetrap.settings import Settings


def connect(
    url: str, queues: Iterable[str], *, name: str, options: QueueOptions | None = None
) -> AbstractAsyncContextManager[Queue]:
    """The queue at `url`, with `queues` and their dead queues declared; the broker shows us under `name`.

    It opens at once even if the broker is away: deliveries wait, and requests raise QueueUnreachable.
    Raises ValueError for an address that cannot be read.
    """
    options = options or QueueOptions()
    if url.startswith("amqp"):
        return open_rabbitmq(url, queues, name=name, options=options)
    from mousetrap.stream_queue import open_stream_queue  # 0.2 MiB that a worker on RabbitMQ does not hold

    return open_stream_queue(url, queues, name=name, options=options)


def open_queue(
    settings: Settings, queues: Iterable[str], *, name: str, deadline: float | None = None
) -> AbstractAsyncContextManager[Queue]:
    """The queue at `settings.broker_url`; `deadline` (seconds) replaces the settings' wait for a confirm."""
    options = options_of(settings)
    if deadline is not None:
        options = replace(options, confirm_deadline=deadline)
    return connect(settings.broker_url, queues, name=name, options=options)


def options_of(settings: Settings) -> QueueOptions:
    """The settings that concern queues."""
    return QueueOptions(
        queue_type=settings.queue_type,
        max_length=settings.queue_max_length,
        max_bytes=settings.queue_max_bytes,
        confirm_deadline=settings.confirm_seconds,
        heartbeat=settings.heartbeat_seconds,
        declare=settings.declare,
        tls=settings.tls,
    )
