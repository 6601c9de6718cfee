"""The embedded queue: streams on Valkey that keep the promises of `mousetrap.jobs.Queue`."""

from mousetrap.stream_queue.stream_queue import open_stream_queue

__all__ = ["open_stream_queue"]
