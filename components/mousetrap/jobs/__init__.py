"""What a job is, how it is written on the wire, and what we ask of a queue."""

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
from mousetrap.shapes import Failure

__all__ = [
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
    "QueueUnreachable",
    "RecordDamaged",
    "RetryLater",
    "StoreFull",
    "StoreUnreachable",
    "Subscription",
    "Unroutable",
    "dead_queue",
    "decode",
    "encode",
    "first_job",
    "signed_message",
]
