"""The broker's edge: a blocking channel, an asynchronous queue, and named topics."""

from mousetrap.job_queue.channel_publisher import open_outlet
from mousetrap.job_queue.foreign import ForeignDelivery, ForeignMessage, ForeignQueues, open_foreign
from mousetrap.job_queue.instrumented import is_instrumented
from mousetrap.job_queue.make_queues import make_queues
from mousetrap.job_queue.open_channel import open_channel
from mousetrap.job_queue.open_queue import connect, open_queue, options_of
from mousetrap.job_queue.topics.async_topics import AsyncTopics, open_async_topics
from mousetrap.job_queue.topics.errors import ClaimVoid, TooManyClaims, TopicsClosed
from mousetrap.job_queue.topics.message import Claimed
from mousetrap.job_queue.topics.topics import Topics, open_topics
from mousetrap.job_queue.try_ladder import overdue_rungs
from mousetrap.jobs import (
    QueueOptions,  # a part of `open_channel` and `connect` for their users; its place is `jobs`
)

__all__ = [
    "AsyncTopics",
    "ClaimVoid",
    "Claimed",
    "ForeignDelivery",
    "ForeignMessage",
    "ForeignQueues",
    "QueueOptions",
    "TooManyClaims",
    "Topics",
    "TopicsClosed",
    "connect",
    "is_instrumented",
    "make_queues",
    "open_async_topics",
    "open_channel",
    "open_foreign",
    "open_outlet",
    "open_queue",
    "open_topics",
    "options_of",
    "overdue_rungs",
]
