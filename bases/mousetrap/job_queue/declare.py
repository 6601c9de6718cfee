"""Makes the broker hold a topology, through a pika channel of either kind."""

from typing import Any

from mousetrap.job_queue.topology import Topology

#: Seconds between a queue's deletion and our new declaration. RabbitMQ 3.10 takes tens of milliseconds to tell a queue's
#: consumers of its end; one that finds the name in use again meanwhile stays subscribed, and is never given anything.
UNDISTURBED = 1.0


def declare(channel: Any, topology: Topology) -> None:
    """Declares everything through a pika channel of either kind.

    A blocking channel waits for each answer. An asynchronous one waits for none: the broker works in order, so that any
    later question on the same channel is answered when all this is done, or fails because some of it was refused.
    """
    for exchange in topology.exchanges:
        channel.exchange_declare(exchange.name, exchange.type, durable=True)
    for queue in topology.queues:
        channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
    for binding in topology.bindings:
        if binding.to_exchange:
            channel.exchange_bind(binding.to, binding.source, binding.key)
        else:
            channel.queue_bind(binding.to, binding.source, binding.key)
