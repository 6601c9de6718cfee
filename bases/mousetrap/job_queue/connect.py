"""Opens the queue behind an address: RabbitMQ, or streams on Valkey."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager

from mousetrap.job_queue.options import DEFAULT_OPTIONS, QueueOptions
from mousetrap.job_queue.rabbitmq import open_rabbitmq
from mousetrap.job_queue.streams import open_streams
from mousetrap.jobs import Queue


def connect(
    url: str, queues: Iterable[str], *, name: str, options: QueueOptions = DEFAULT_OPTIONS
) -> AbstractAsyncContextManager[Queue]:
    """The queue at `url`, with `queues` and their dead queues declared; `name` is how the broker shows us.

    It opens at once even if the broker is away: what can wait waits, and the rest says so.
    Raises ValueError for an address that cannot be read.
    """
    open_queue = open_rabbitmq if url.startswith("amqp") else open_streams
    return open_queue(url, queues, name=name, options=options)
