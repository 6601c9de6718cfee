"""Makes the broker hold a topology, or looks whether it does, through a pika channel of either kind."""

from typing import Any

from mousetrap.job_queue.topology import delay_ladder
from mousetrap.job_queue.topology.topology import DEAD, Topology

#: Seconds between a queue's deletion and our new declaration. RabbitMQ 3.10 takes tens of milliseconds to tell a queue's
#: consumers of its end; one that finds the name in use again meanwhile stays subscribed, and is never given anything.
REDECLARE_DELAY_S = 1.0

#: Exchanges that the broker alone publishes to: no other user has any right there, and without one RabbitMQ tells nothing.
_BROKERS_OWN = (DEAD, delay_ladder.DELIVER)


def declare(channel: Any, topology: Topology) -> None:
    """Declares everything through a pika channel of either kind; a topology that is not ours to make is only looked for.

    A blocking channel waits for each answer. An asynchronous one waits for none: the broker works in order, so that any
    later question on the same channel is answered when all this is done, or fails because some of it was refused.
    """
    if topology.ours:
        _make(channel, topology)
    else:
        _look(channel, topology)


def _make(channel: Any, topology: Topology) -> None:
    for exchange in topology.exchanges:
        channel.exchange_declare(exchange.name, exchange.type, durable=True)
    for queue in topology.queues:
        channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
    for binding in topology.bindings:
        if binding.to_exchange:
            channel.exchange_bind(binding.to, binding.source, binding.key)
        else:
            channel.queue_bind(binding.to, binding.source, binding.key)


def _look(channel: Any, topology: Topology) -> None:
    """Bindings cannot be looked at: where one is missing, a publish says so."""
    for exchange in topology.exchanges:
        if exchange.name not in _BROKERS_OWN:
            channel.exchange_declare(exchange.name, exchange.type, passive=True)
    for queue in topology.queues:
        channel.queue_declare(queue.name, passive=True)
