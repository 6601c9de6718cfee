"""The broker's edge: a blocking channel for scripts, and the asynchronous queue that workers and the API run on."""

from mousetrap.job_queue.connect import connect
from mousetrap.job_queue.make_queues import make_queues
from mousetrap.job_queue.open_channel import open_channel
from mousetrap.job_queue.open_queue import open_queue
from mousetrap.job_queue.options import QueueOptions

__all__ = ["QueueOptions", "connect", "make_queues", "open_channel", "open_queue"]
