"""A channel in confirm mode, over which a publisher sends."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from mousetrap.job_queue.amqp import frames
from mousetrap.job_queue.amqp.connection import Connection, ask, close_channel, open_channel
from mousetrap.job_queue.pending import Pending
from mousetrap.job_queue.topology.declare import declare
from mousetrap.job_queue.topology.topology import Topology


class WireEvents(Protocol):
    """What happens on a wire; called on the event loop."""

    def confirmed(self, tag: int, *, multiple: bool, refused: bool) -> None:
        """The broker has the message, or with `multiple` all up to it; or it refused them."""
        ...

    def returned(self, message_id: str, key: str) -> None:
        """No queue takes the message. Its confirm follows."""
        ...

    def unblocked(self) -> None:
        """The broker takes messages again."""
        ...

    def closed(self, error: Exception) -> None:
        """The channel is lost."""
        ...


class Wire(Protocol):
    """One channel; the broker counts its messages from one."""

    @property
    def blocked(self) -> bool:
        """Whether the broker takes no messages, for lack of memory or disk."""
        ...

    def send(self, pending: Pending) -> None:
        """Sends a message, and waits for nothing."""
        ...

    async def declare(self, topology: Topology) -> None:
        """Declares, on a channel of its own. Raises what pika does."""
        ...

    def abort(self, error: Exception) -> None:
        """Cuts its connection, which has no other channel that publishes."""
        ...


#: Opens a wire on a connection, and declares the topology on it before.
OpenWire = Callable[[Any, Topology, WireEvents], Awaitable[Wire]]


class LoopWire:
    """A wire on a connection of the event loop."""

    def __init__(self, connection: Connection, channel: Any) -> None:
        self._connection = connection
        self._send = connection.send
        self._number, self._max_body = channel.channel_number, connection.max_body

    @property
    def blocked(self) -> bool:
        return self._connection.blocked

    def send(self, pending: Pending) -> None:
        self._send(encoded(pending, self._number, self._max_body))

    async def declare(self, topology: Topology) -> None:
        channel = await open_channel(self._connection)
        declare(channel, topology)
        await ask(channel, channel.basic_qos, prefetch_count=1)
        close_channel(channel)

    def abort(self, error: Exception) -> None:
        if self._connection.is_open:
            self._connection.abort(error)


async def open_loop_wire(connection: Connection, topology: Topology, events: WireEvents) -> LoopWire:
    """A wire on a connection of the event loop, with the topology declared."""
    channel = await open_channel(connection)
    declare(channel, topology)
    await ask(channel, channel.confirm_delivery, lambda frame: pass_on_confirm(events, frame))
    connection.confirm(channel, lambda tag, multiple: events.confirmed(tag, multiple=multiple, refused=False))
    channel.add_on_return_callback(
        lambda _, method, properties, _body: events.returned(properties.message_id, method.routing_key)
    )
    channel.add_on_close_callback(lambda _, error: events.closed(error))
    connection.add_on_connection_unblocked_callback(lambda *_: events.unblocked())
    return LoopWire(connection, channel)


def pass_on_confirm(events: WireEvents, frame: Any) -> None:
    """Reports one confirm, as pika has it."""
    method = frame.method
    events.confirmed(method.delivery_tag, multiple=method.multiple, refused=method.NAME == "Basic.Nack")


def encoded(pending: Pending, channel: int, max_body: int) -> bytes:
    """The message's frames."""
    return frames.publish(channel, pending.exchange, pending.key, pending.properties, pending.body, max_body)
