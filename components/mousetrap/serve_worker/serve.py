"""Reads the settings, opens queue and store, runs the worker until a signal, and says how it ended."""

import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NoReturn, Protocol

from mousetrap.jobs import Queue
from mousetrap.run_store import open_store
from mousetrap.settings import Settings, SettingsWrong
from mousetrap.telemetry import log_to_stderr
from mousetrap.worker import Binding, Stop, WorkerOptions, run_worker

#: Exit codes: all that was begun is finished; some was handed back for another worker; a setting is wrong.
FINISHED, HANDED_BACK, SETTINGS_WRONG = 0, 75, 2

_log = logging.getLogger("mousetrap.worker")

#: Makes a binding from the settings.
Binder = Callable[[Settings], Binding]


class Connect(Protocol):
    """Opens the queue that the settings name; the broker's edge hands it in, for a component knows no edge."""

    def __call__(
        self, settings: Settings, queues: Iterable[str], *, name: str
    ) -> AbstractAsyncContextManager[Queue]: ...


def serve_worker(
    connect: Connect,
    binders: Sequence[Binder],
    environ: Mapping[str, str],
    *,
    concurrency: int | None = None,
    prefetch: int | None = None,
    burst: bool = False,
) -> int:
    """Serves the stages that `binders` bind until SIGTERM or SIGINT; a second signal ends it at once. Returns the exit code.

    `concurrency` and `prefetch` win over the environment's; with `burst` the worker ends when its queues are empty.
    """
    options = {"MOUSETRAP_CONCURRENCY": concurrency, "MOUSETRAP_PREFETCH": prefetch}
    given = {name: str(value) for name, value in options.items() if value is not None}
    try:
        settings = Settings.from_environ({**environ, **given})
    except SettingsWrong as error:
        print(error, file=sys.stderr)
        return SETTINGS_WRONG
    log_to_stderr(settings.log_level, settings.log_format)
    finished = asyncio.run(_serve(connect, settings, [bind(settings) for bind in binders], burst))
    code = FINISHED if finished else HANDED_BACK
    _log.info("stopped: %s", "all work finished" if finished else "some work was handed back")
    if any(thread.name.startswith("handler") for thread in threading.enumerate()) and not finished:
        _leave_threads_behind(code)
    return code


async def _serve(connect: Connect, settings: Settings, bindings: Sequence[Binding], burst: bool) -> bool:
    options = _options(settings, burst)
    stop = Stop()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.ask)
    queues = sorted({stage.queue for binding in bindings for stage in binding.pipeline.stages})
    async with (
        connect(settings, queues, name=options.name) as queue,
        open_store(settings.store_url, retention=settings.retention_seconds, tls=settings.tls) as store,
    ):
        return await run_worker(queue, store, bindings, options, stop)


def _options(settings: Settings, burst: bool) -> WorkerOptions:
    return WorkerOptions(
        name=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}",
        concurrency=settings.concurrency,
        prefetch=settings.held,
        lease=settings.lease_seconds,
        grace=settings.grace_seconds,
        burst=burst,
        keyring=settings.keyring,
    )


def _leave_threads_behind(code: int) -> NoReturn:
    # A sync handler cannot be stopped, and the interpreter would wait for it. Its job is handed back already.
    logging.shutdown()
    os._exit(code)
