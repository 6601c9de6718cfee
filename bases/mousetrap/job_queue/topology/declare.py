"""Declares a topology on the broker, or checks that it is there."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError

from mousetrap.job_queue.topology import delay_ladder
from mousetrap.job_queue.topology.topology import DEAD, Topology
from mousetrap.jobs import HIGH

#: Between a queue's deletion and its new declaration. RabbitMQ 3.10 takes tens of milliseconds to notify a queue's consumers
#: of its end; a consumer that finds the name in use again by then stays subscribed, and never receives anything.
REDECLARE_DELAY_S = 1.0

#: How often a queue without messages and consumers is looked at before that is believed. RabbitMQ reports the same of a quorum
#: queue whose leader does not answer within a quarter of a second, as on a broker that stops for a moment.
LOOKS_AT_NOTHING = 3

#: Exchanges that the broker alone publishes to: no other user has a right there, and without one RabbitMQ reports nothing.
_BROKERS_OWN = (DEAD, delay_ladder.DELIVER)


def declare(channel: Any, topology: Topology) -> None:
    """Declares everything through a pika channel, blocking or asynchronous, or only checks that it is there.

    A blocking channel waits for each answer. An asynchronous one waits for none: the broker works in order, so that the
    next request on the same channel is answered after all this is done, or fails because a part of it was refused.
    """
    if topology.declared_by_us:
        _declare(channel, topology)
    else:
        _check(channel, topology)


def declare_apart(channel: Any, topology: Topology) -> None:
    """Declares on another channel of a blocking channel's connection: a refusal closes that one alone."""
    with channel_apart(channel) as other:
        declare(other, topology)


def count_apart(channel: Any, queue: str) -> int:
    """How many messages of a queue are ready, asked for on another channel, as `declare_apart` does."""
    with channel_apart(channel) as other:
        for _ in range(LOOKS_AT_NOTHING):
            found = other.queue_declare(queue, passive=True).method
            if found.message_count or found.consumer_count:
                break
        return int(found.message_count)


@contextmanager
def channel_apart(channel: Any) -> Iterator[Any]:
    """Another channel of a blocking channel's connection."""
    other = channel.connection.channel()
    try:
        yield other
    finally:
        if other.is_open:
            with suppress(AMQPError):
                BlockingChannel.close(other)  # its own close would end the connection


def _declare(channel: Any, topology: Topology) -> None:
    for exchange in topology.exchanges:
        channel.exchange_declare(exchange.name, exchange.type, durable=True)
    for queue in topology.queues:
        channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
    for binding in topology.bindings:
        if binding.to_exchange:
            channel.exchange_bind(binding.to, binding.source, binding.key)
        else:
            channel.queue_bind(binding.to, binding.source, binding.key)


def _check(channel: Any, topology: Topology) -> None:
    """Bindings cannot be checked: where one is missing, a publish is returned.

    Nor are high queues, so that a process that may not declare serves what `migrate` of an older version made.
    """
    for exchange in topology.exchanges:
        if exchange.name not in _BROKERS_OWN:
            channel.exchange_declare(exchange.name, exchange.type, passive=True)
    for queue in topology.queues:
        if not queue.name.endswith(HIGH):
            channel.queue_declare(queue.name, passive=True)
