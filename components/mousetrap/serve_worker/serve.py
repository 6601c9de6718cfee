"""Reads the settings, opens queue and store, runs the worker until a signal, and says how it ended."""

import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from importlib import metadata
from typing import Any, NoReturn, Protocol

import uvloop

from mousetrap.jobs import Queue
from mousetrap.run_store import open_store
from mousetrap.serve_worker.beating import Beating, turn_for_ever
from mousetrap.serve_worker.health import answering
from mousetrap.serve_worker.vitals import Vitals
from mousetrap.serve_worker.watchdog import WATCHDOG_ENDED, Watchdog
from mousetrap.settings import Settings, SettingsWrong, check_signing
from mousetrap.telemetry import log_to_stderr, printable
from mousetrap.worker import Binding, Stop, Watching, WorkerOptions, run_worker
from mousetrap.worker_registry import Beat, open_registry

#: Exit codes: all that was begun is finished; some was handed back for another worker; a setting is wrong.
FINISHED, HANDED_BACK, SETTINGS_WRONG = 0, 75, 2

_ENDS = {
    FINISHED: "all work finished",
    HANDED_BACK: "some work was handed back",
    WATCHDOG_ENDED: "a handler did not stop; start this worker again",
}

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
    auto_kill: float | None = None,
    burst: bool = False,
) -> int:
    """Serves the stages that `binders` bind until SIGTERM or SIGINT; a second signal ends it at once. Returns the exit code.

    `concurrency`, `prefetch` and `auto_kill` win over the environment's; with `burst` the worker ends when its queues are empty.
    """
    options = {
        "MOUSETRAP_CONCURRENCY": concurrency,
        "MOUSETRAP_PREFETCH": prefetch,
        "MOUSETRAP_AUTO_KILL_SECONDS": auto_kill,
    }
    given = {name: str(value) for name, value in options.items() if value is not None}
    try:
        settings = Settings.from_environ({**environ, **given})
        unsigned = check_signing(settings)
        log_to_stderr(settings.log_level, settings.log_format)
        if unsigned:
            _log.warning(unsigned)
        return _served(connect, settings, binders, burst)
    except SettingsWrong as error:
        print(printable(str(error)), file=sys.stderr)
        return SETTINGS_WRONG


def _served(connect: Connect, settings: Settings, binders: Sequence[Binder], burst: bool) -> int:
    vitals = Vitals(watching=Watching(), patience=settings.auto_kill_seconds)
    with ExitStack() as opened:
        if settings.health_port:
            place = (settings.health_host, int(settings.health_port))
            _log.info(
                "health is told at %s/health/live and /health/ready",
                opened.enter_context(answering(*place, vitals)),
            )
        code = uvloop.run(_serve(connect, settings, [bind(settings) for bind in binders], burst, vitals))
    _log.info("stopped: %s", _ENDS[code])
    threads_left = any(thread.name.startswith("handler") for thread in threading.enumerate())
    if vitals.watching.hung() or (threads_left and code != FINISHED):
        _leave_threads_behind(code)
    return code


async def _serve(
    connect: Connect, settings: Settings, bindings: Sequence[Binding], burst: bool, vitals: Vitals
) -> int:
    options = _options(settings, burst)
    stop = Stop()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.ask)
    watchdog = Watchdog(vitals, partial(loop.call_soon_threadsafe, _stop_taking, stop))
    queues = sorted({stage.queue for binding in bindings for stage in binding.pipeline.stages})
    async with AsyncExitStack() as opened:
        opened.enter_context(watchdog.watching())
        await opened.enter_async_context(_meanwhile(turn_for_ever(vitals)))
        queue = await opened.enter_async_context(connect(settings, queues, name=options.name))
        store = await opened.enter_async_context(
            open_store(
                settings.store_url,
                retention=settings.retention_seconds,
                keep=settings.keep_output_bytes,
                tls=settings.tls,
                keyring=settings.keyring,
            )
        )
        registry = await opened.enter_async_context(open_registry(settings.store_url, tls=settings.tls))
        beating = Beating(
            _first_beat(options, bindings), vitals, queue, registry, settings.health_line_seconds
        )
        opened.push_async_callback(beating.leave)
        await opened.enter_async_context(_meanwhile(beating.beat_for_ever()))
        finished = await run_worker(queue, store, bindings, options, stop, vitals.watching)
    if watchdog.gave_up:
        return WATCHDOG_ENDED
    return FINISHED if finished else HANDED_BACK


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """`work` goes on in this block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _stop_taking(stop: Stop) -> None:
    if not stop.asked.is_set():  # a second time would mean at once
        stop.ask()


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


def _first_beat(options: WorkerOptions, bindings: Sequence[Binding]) -> Beat:
    return Beat(
        name=options.name,
        host=socket.gethostname(),
        pid=os.getpid(),
        version=_version(),
        stages=tuple(f"{binding.pipeline.name}.{binding.stage}" for binding in bindings),
        queues=tuple(sorted({binding.step.queue for binding in bindings})),
        concurrency=options.concurrency,
        state="starting",
        done=0,
        failed=0,
        running=0,
        doing=(),
    )


def _version() -> str:
    """Of whichever distribution brought this brick; a checkout has none."""
    brought = metadata.packages_distributions().get("mousetrap")
    return metadata.version(brought[0]) if brought else "unreleased"


def _leave_threads_behind(code: int) -> NoReturn:
    # A sync handler cannot be stopped, and the interpreter would wait for it. Its job is handed back already.
    logging.shutdown()
    os._exit(code)
