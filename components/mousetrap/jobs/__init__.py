"""Jobs, their messages, their outcomes, and the protocols of a queue."""

from mousetrap.jobs.errors import (
    MousetrapError,
    PublishUnconfirmed,
    QueueFull,
    QueueUnreachable,
    RecordDamaged,
    StoreFull,
    StoreUnreachable,
    Unroutable,
)
from mousetrap.jobs.job import Job, JobTooNew, JobUndecodable, decode, encode, first_job, signed_message
from mousetrap.jobs.message_bounds import (
    HEADER_PREFIX,
    bytes_limit_reached,
    check_message,
    length_limit_reached,
    limit_reached,
    possible_limits,
)
from mousetrap.jobs.outcome import Done, GiveUp, Outcome, RetryLater
from mousetrap.jobs.queue import (
    LARGEST_PAYLOAD,
    Backlog,
    Browsed,
    Delivery,
    Message,
    Queue,
    Subscription,
    dead_queue,
)
from mousetrap.jobs.queue_options import QueueOptions
from mousetrap.shapes import Failure

__all__ = [
    "HEADER_PREFIX",
    "LARGEST_PAYLOAD",
    "Backlog",
    "Browsed",
    "Delivery",
    "Done",
    "Failure",
    "GiveUp",
    "Job",
    "JobTooNew",
    "JobUndecodable",
    "Message",
    "MousetrapError",
    "Outcome",
    "PublishUnconfirmed",
    "Queue",
    "QueueFull",
    "QueueOptions",
    "QueueUnreachable",
    "RecordDamaged",
    "RetryLater",
    "StoreFull",
    "StoreUnreachable",
    "Subscription",
    "Unroutable",
    "bytes_limit_reached",
    "check_message",
    "dead_queue",
    "decode",
    "encode",
    "first_job",
    "length_limit_reached",
    "limit_reached",
    "possible_limits",
    "signed_message",
]
