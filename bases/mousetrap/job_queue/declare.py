"""Makes the broker hold a topology, and explains it when the broker will not."""

from typing import Any

from mousetrap.job_queue.topology import Topology

#: AMQP's word for "it is there, but different".
PRECONDITION_FAILED = 406


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
