"""Tries the delay ladder's short rungs with one message each.

A broker can forget to move messages on from a rung (docs/guarantees.md), and AMQP does not show it: what has come due
is no longer counted as ready. Only a message that comes back shows that a rung works.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from pika.exceptions import AMQPError

from mousetrap.job_queue.amqp import address
from mousetrap.job_queue.broker_status import BrokerStatus
from mousetrap.job_queue.errors import explain
from mousetrap.job_queue.open_channel import open_channel
from mousetrap.job_queue.topology.delay_ladder import DELIVER, UNIT_MS, arrives, rung, wait, way_down
from mousetrap.jobs import QueueOptions

#: Rungs that are tried, from the shortest: 3.2 s for the longest of them, and all wait side by side.
TRIED = 6
#: Seconds that a message may take beyond its delay.
_SLACK_S = 5.0

#: Where tries end. It stays: a message on a rung that no queue is bound for would be kept there for good. It keeps none itself.
_END = "mousetrap.tries"
_END_ARGUMENTS = {"x-message-ttl": 0}


def overdue_rungs(url: str, options: QueueOptions) -> list[str]:
    """The rungs of the ladder at `url`, of the `TRIED` shortest, that do not pass a message on in time; takes 3.3 s.

    Makes the queue `mousetrap.tries`, which stays. Raises QueueUnreachable for a broker that is away, that refuses, or has no ladder yet.
    """
    channel = open_channel(url, [], options=options)
    with _explained(url), channel, channel.connection.channel() as unconfirmed:
        return _try(unconfirmed, options.queue_type)


def _try(channel: Any, queue_type: str) -> list[str]:
    """Publishes without confirms: a rung that takes nothing is overdue as well."""
    channel.queue_declare(_END, durable=True, arguments={"x-queue-type": queue_type, **_END_ARGUMENTS})
    mark = uuid4().hex
    ours = f"{_END}.{mark}"
    channel.queue_declare(ours, exclusive=True)
    for queue in (_END, ours):
        channel.queue_bind(queue, DELIVER, arrives(_END))
    awaited = {f"{mark} {rung(k)}": rung(k) for k in range(TRIED)}
    for k in range(TRIED):
        exchange, key = way_down(_END, (UNIT_MS << k) / 1000)
        channel.basic_publish(exchange, key, f"{mark} {exchange}".encode())
    for body in _bodies(channel, ours, wait(TRIED - 1) / 1000 + _SLACK_S):
        awaited.pop(body.decode(), None)
        if not awaited:
            break
    return list(awaited.values())


def _bodies(channel: Any, queue: str, seconds: float) -> Iterator[bytes]:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        _, _, body = next(channel.consume(queue, auto_ack=True, inactivity_timeout=left))
        if body is not None:
            yield body


@contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except AMQPError as error:
        raise BrokerStatus(str(address.parse(url))).unreachable(explain(error)) from error
