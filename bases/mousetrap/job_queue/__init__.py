"""The broker's edge: a blocking channel, and an asynchronous queue."""

from mousetrap.job_queue.make_queues import make_queues
from mousetrap.job_queue.open_channel import open_channel
from mousetrap.job_queue.open_queue import connect, open_queue
from mousetrap.jobs import (
    QueueOptions,  # a part of `open_channel` and `connect` for their users; its place is `jobs`
)

__all__ = ["QueueOptions", "connect", "make_queues", "open_channel", "open_queue"]
