"""Reads the settings, opens queue and store, runs the worker until a signal, and says how it ended."""

import asyncio
import logging
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager
from importlib import metadata
from typing import Any, Protocol

import uvloop

from mousetrap.handlers import Binding, run_through
from mousetrap.jobs import Queue
from mousetrap.run_store import open_store
from mousetrap.serve_worker.beating import Beating, turn_for_ever
from mousetrap.serve_worker.ending import HANDED_BACK, LEAVING_S, Ending, left
from mousetrap.serve_worker.health import answering
from mousetrap.serve_worker.vitals import Vitals
from mousetrap.serve_worker.watchdog import WATCHDOG_ENDED, Watchdog
from mousetrap.settings import Group, Settings, SettingsWrong, check_signing
from mousetrap.shapes import Beat
from mousetrap.shutdown import ExitGuard, end_tasks
from mousetrap.telemetry import log_to_stderr, printable
from mousetrap.worker import Stop, WorkerOptions, WorkerStats, run_worker
from mousetrap.worker_registry import open_registry

#: Exit codes: all that was begun is finished; a defect; a setting is wrong.
FINISHED, DEFECT, SETTINGS_WRONG = 0, 1, 2

_ENDS = {
    FINISHED: "all work finished",
    HANDED_BACK: "some work was handed back",
    WATCHDOG_ENDED: "a handler did not stop; start this worker again",
}

_log = logging.getLogger("mousetrap.worker")

#: Makes a binding from the settings.
Binder = Callable[[Settings], Binding]
#: The settings that the environment may hold beside the engine's: those of the catalogue.
Groups = Sequence[Group[Any]]


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
    groups: Groups = (),
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
        settings = Settings.from_environ({**environ, **given}, groups)
        unsigned = check_signing(settings)
        log_to_stderr(settings.log_level, settings.log_format)
        if unsigned:
            _log.warning(unsigned)
        return _served(connect, settings, binders, burst)
    except SettingsWrong as error:
        print(printable(str(error)), file=sys.stderr)
        return SETTINGS_WRONG


def _served(connect: Connect, settings: Settings, binders: Sequence[Binder], burst: bool) -> int:
    guard = ExitGuard()
    guard.start()
    vitals = Vitals(stats=WorkerStats(), patience=settings.auto_kill_seconds)
    ending = Ending(guard, settings.grace_seconds, Stop())
    with ExitStack() as opened:
        if settings.health_port:
            place = (settings.health_host, int(settings.health_port))
            _log.info(
                "health is told at %s/health/live and /health/ready",
                opened.enter_context(answering(*place, vitals)),
            )
        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        ending.listen(runner.get_loop())
        bindings = [bind(settings) for bind in binders]
        try:
            serving = _serve(connect, settings, bindings, burst, vitals, ending)
            code = run_through(runner.get_loop(), serving)
        except BaseException:
            guard.finish_within(LEAVING_S, DEFECT, "the worker failed, and something does not end")
            raise
    return left(runner, guard, code, _ENDS[code], vitals.stats.hung())


async def _serve(
    connect: Connect,
    settings: Settings,
    bindings: Sequence[Binding],
    burst: bool,
    vitals: Vitals,
    ending: "Ending",
) -> int:
    options = _options(settings, burst)
    watchdog = Watchdog(vitals, ending.begin)
    queues = sorted({stage.queue for binding in bindings for stage in binding.pipeline.stages})
    async with AsyncExitStack() as opened:
        opened.enter_context(watchdog.watching())
        await opened.enter_async_context(_meanwhile(turn_for_ever(vitals)))
        await opened.enter_async_context(_meanwhile(ending.bound()))
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
        finished = await run_worker(queue, store, bindings, options, ending.stop, vitals.stats)
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
        await end_tasks(task)


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
        stages=tuple(f"{binding.pipeline.name}.{binding.stage_name}" for binding in bindings),
        queues=tuple(sorted({binding.stage.queue for binding in bindings})),
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
