"""Publishes and claims on a blocking channel of `open_channel`."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker, NackError, UnroutableError

from mousetrap.job_queue.amqp import address
from mousetrap.job_queue.amqp.properties import read
from mousetrap.job_queue.broker_status import BrokerStatus
from mousetrap.job_queue.errors import explain, is_missing, not_declared, unroutable
from mousetrap.job_queue.open_channel import open_channel
from mousetrap.job_queue.topics.channel_thread import ChannelThread
from mousetrap.job_queue.topology import delay_ladder
from mousetrap.job_queue.topology.declare import declare_apart
from mousetrap.job_queue.topology.topology import JOBS, topology
from mousetrap.jobs import (
    Claim,
    Message,
    PublishUnconfirmed,
    QueueFull,
    QueueOptions,
    possible_limits,
)

#: For the broker's answer to a request, and for the first declaration on a new one.
_REPLY_TIMEOUT_S, _DECLARE_TIMEOUT_S = 10.0, 30.0

T = TypeVar("T")


class ChannelQueue:
    """RabbitMQ for blocking callers: one channel, opened again by the next call after a loss."""

    def __init__(self, url: str, options: QueueOptions) -> None:
        self._url = url
        self._options = options
        self._status = BrokerStatus(str(address.parse(url)))
        self._declared: set[str] = set()
        self._opening = threading.Lock()
        self._thread = self._open()

    def declare_queue(self, queue: str) -> None:
        """Declares on a channel of its own: a refusal closes it, and would make the claims of the other one void."""
        if queue not in self._declared:
            with self._reaching():
                self._declare_in(self._open_thread(), queue)
            self._declared.add(queue)

    def publish(self, queue: str, message: Message, *, after: float) -> None:
        """Returns once the broker has confirmed the message."""
        way = (JOBS, queue) if after <= 0 else delay_ladder.way_down(queue, after)
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=2,
            message_id=message.id,
            timestamp=int(time.time() + after),
            headers=dict(message.headers) or None,
        )
        with self._reaching():
            thread = self._open_thread()
        try:
            _call(
                thread,
                lambda channel: self._publish(channel, way, queue, properties, message.body),
                self._options.confirm_deadline,
            )
        except NackError as error:
            raise QueueFull(
                f"queue {queue!r} refused a message, most often because it is full: {possible_limits(self._options)}; "
                "claim from it, or try again later"
            ) from error
        except (AMQPError, OSError, TimeoutError) as error:
            raise PublishUnconfirmed(
                f"topic {queue!r}: the broker did not confirm message {message.id!r} ({explain(error)}); it may have it or "
                f"not: publish it again with id={message.id!r}"
            ) from error

    def claim(self, queue: str, wait: float) -> Claim | None:
        """The next message; without one, a subscription for one message ends with the first that arrives."""
        deadline = time.monotonic() + wait
        with self._reaching():
            thread = self._open_thread()
            try:
                claim = _call(
                    thread,
                    lambda channel: _get(channel, thread, queue),
                    undo=lambda late: late and thread.start(late.put_back),
                )
                if claim is None and wait > 0:
                    claim = _first_of(thread, queue, deadline)
            except ChannelClosedByBroker as error:
                if not is_missing(error):
                    raise
                self._open_thread()  # declares all again: the queue was deleted
                return None
        return claim

    def settle(self, claim: Claim, settle: Callable[[Claim], bool]) -> bool:
        return settle(claim)

    def close(self) -> None:
        self._thread.close()

    def _open(self) -> ChannelThread:
        return ChannelThread(open_channel(self._url, self._declared, options=self._options))

    def _open_thread(self) -> ChannelThread:
        """The thread, or a new one after a loss. Raises QueueUnreachable."""
        with self._opening:
            if self._thread.lost is not None:
                self._thread = self._open()
            return self._thread

    def _declare_in(self, thread: ChannelThread, queue: str) -> None:
        needed = topology([queue], self._options)
        try:
            _call(thread, lambda channel: declare_apart(channel, needed), _DECLARE_TIMEOUT_S)
        except ChannelClosedByBroker as error:
            if is_missing(error):
                raise not_declared(queue) from error
            raise

    def _publish(self, channel: Any, way: tuple[str, str], queue: str, properties: Any, body: bytes) -> None:
        try:
            channel.basic_publish(*way, body, properties, mandatory=True)
        except UnroutableError:
            # The queue was deleted since it was declared.
            declare_apart(channel, topology([queue], self._options))
            try:
                channel.basic_publish(*way, body, properties, mandatory=True)
            except UnroutableError:
                raise unroutable(queue) from None

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (AMQPError, OSError, TimeoutError) as error:
            raise self._status.unreachable(explain(error)) from error


class ChannelClaim:
    """A claim of a blocking channel; void once that is lost."""

    __slots__ = ("_settled", "_thread", "message", "queue", "redelivered", "since_ms", "tag")

    def __init__(self, thread: ChannelThread, queue: str, delivery: tuple[Any, Any, bytes]) -> None:
        method, properties, body = delivery
        self._thread = thread
        self.tag = method.delivery_tag
        self._settled = False
        self.queue = queue
        self.message = read(properties, body)
        self.redelivered = bool(method.redelivered)
        self.since_ms = 1000 * (properties.timestamp or 0)

    def acknowledge(self) -> bool:
        return self._settle(lambda channel: channel.basic_ack(self.tag))

    def hand_back(self) -> bool:
        return self._settle(self.put_back)

    def reject(self) -> bool:
        return self._settle(lambda channel: channel.basic_nack(self.tag, requeue=False))

    def is_void(self) -> bool:
        return self._thread.lost is not None

    def put_back(self, channel: Any) -> None:
        """Hands it back on the channel's own thread."""
        channel.basic_nack(self.tag, requeue=True)

    def _settle(self, send: Callable[[Any], None]) -> bool:
        if self._settled or self.is_void():
            return False
        self._settled = True
        try:
            self._thread.call(send)
        except (AMQPError, OSError):
            return False
        return True


def _call(
    thread: ChannelThread,
    function: Callable[[Any], T],
    timeout_s: float | None = None,
    undo: Callable[[T], object] | None = None,
) -> T:
    """The result of `function`. A caller who leaves before it has its call taken back, or undone once it ends."""
    call = thread.start(function)
    try:
        return call.result(_REPLY_TIMEOUT_S if timeout_s is None else timeout_s)
    except BaseException:
        if not call.cancel() and undo is not None:
            call.add_done_callback(partial(_undo, undo))
        raise


def _undo(undo: Callable[[T], object], call: "Future[T]") -> None:
    if call.exception() is None:
        with suppress(AMQPError, OSError):  # a lost channel holds nothing
            undo(call.result())


def _get(channel: Any, thread: ChannelThread, queue: str) -> ChannelClaim | None:
    method, properties, body = channel.basic_get(queue)
    return None if method is None else ChannelClaim(thread, queue, (method, properties, body))


def _first_of(thread: ChannelThread, queue: str, deadline: float) -> ChannelClaim | None:
    """The first message that arrives before `deadline`, a time of the monotonic clock."""
    arrived: Future[ChannelClaim] = Future()

    def receive(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
        arrived.set_result(ChannelClaim(thread, queue, (method, properties, body)))

    def leave(tag: str) -> None:
        with suppress(AMQPError, OSError):
            thread.start(lambda channel: _stop(channel, tag, arrived, keep=False))

    tag = _call(thread, lambda channel: _subscribe(channel, queue, receive), undo=leave)
    thread.end_when_lost(arrived)
    try:
        with suppress(TimeoutError):
            arrived.result(max(0.0, deadline - time.monotonic()))
        return _call(thread, lambda channel: _stop(channel, tag, arrived, keep=True))
    except BaseException:
        leave(tag)
        raise


def _subscribe(channel: Any, queue: str, receive: Callable[..., None]) -> str:
    # Of each new consumer, not of the channel: claims that are held do not count.
    channel.basic_qos(prefetch_count=1)
    tag: str = channel.basic_consume(queue, receive)
    return tag


def _stop(channel: Any, tag: str, arrived: "Future[ChannelClaim]", *, keep: bool) -> ChannelClaim | None:
    """Ends the subscription; pika puts back what arrives meanwhile, and we what arrived for a caller who has left."""
    channel.basic_cancel(tag)
    claim = arrived.result() if arrived.done() else None
    if claim is not None and not keep:
        claim.put_back(channel)
        return None
    return claim
