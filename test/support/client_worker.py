"""Serves bindings with a worker in a thread, beside a blocking test."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mousetrap.handlers import Binding
from mousetrap.job_queue import connect
from mousetrap.run_store import open_store
from mousetrap.settings import Settings
from mousetrap.worker import Stop, WorkerOptions, run_worker
from support.workbench import connected

_TIMEOUT_S = 60.0


@contextmanager
def served(settings: Settings, *bindings: Binding) -> Iterator[None]:
    """A worker serves the bindings until the block ends; their queues are there when it begins."""
    worker = _Worker(settings, bindings)
    thread = threading.Thread(target=lambda: asyncio.run(worker.serve()), name="worker of a test")
    thread.start()
    try:
        assert worker.ready.wait(_TIMEOUT_S)
        yield
    finally:
        worker.end()
        thread.join(_TIMEOUT_S)
        assert not thread.is_alive()


class _Worker:
    def __init__(self, settings: Settings, bindings: tuple[Binding, ...]) -> None:
        self._settings = settings
        self._bindings = bindings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Stop | None = None
        self.ready = threading.Event()

    async def serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), Stop()
        settings, queues = self._settings, [binding.stage.queue for binding in self._bindings]
        async with (
            connect(settings.broker_url, queues, name="worker") as queue,
            open_store(settings.store_url, retention=3600, keyring=settings.keyring) as store,
        ):
            await connected(queue, queues[-1])
            self.ready.set()
            options = WorkerOptions(name="w", keyring=settings.keyring)
            await run_worker(queue, store, self._bindings, options, self._stop)

    def end(self) -> None:
        if self._loop and self._stop:
            self._loop.call_soon_threadsafe(self._stop.ask)
