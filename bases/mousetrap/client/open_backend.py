"""Opens the backend that was found, with no queue declared yet."""

from contextlib import AbstractAsyncContextManager

from mousetrap.client.backend import Backend
from mousetrap.client.broker import open_broker
from mousetrap.client.find import Via
from mousetrap.client.http import open_http
from mousetrap.job_queue import open_outlet
from mousetrap.settings import Settings


def open_blocking(via: Via, settings: Settings) -> AbstractAsyncContextManager[Backend]:
    """The backend for the event loop of a blocking client."""
    if via == "http":
        return open_http(settings)
    return open_broker(settings, lambda: open_outlet(settings, (), name="client", blocking=True))


def open_async(via: Via, settings: Settings) -> AbstractAsyncContextManager[Backend]:
    """The backend for an event loop of the caller's."""
    if via == "http":
        return open_http(settings)
    return open_broker(settings, lambda: open_outlet(settings, (), name="client"))
