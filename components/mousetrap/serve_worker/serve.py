"""Serves stages with a worker in this process, until a signal."""

import asyncio
import gc
import logging
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, suppress
from typing import Any, Protocol

import uvloop

from mousetrap.control import Control
from mousetrap.handlers import Binding, run_through
from mousetrap.jobs import MousetrapError, Queue
from mousetrap.payloads import PayloadOptions
from mousetrap.pipeline import ManifestBroken, Pipeline, write_manifests
from mousetrap.run_logs import kept_lines
from mousetrap.run_store import open_store
from mousetrap.serve_worker.counted import Counted
from mousetrap.serve_worker.counts_report import CountsReport
from mousetrap.serve_worker.heartbeat import Heartbeat, turn_forever
from mousetrap.serve_worker.locks import check_locks
from mousetrap.serve_worker.orders import OrdersFollower
from mousetrap.serve_worker.shared_queues import check_shared_queues
from mousetrap.serve_worker.stop_signals import LEAVING_S, StopSignals, close_loop
from mousetrap.serve_worker.vitals import Vitals
from mousetrap.serve_worker.watchdog import Watchdog
from mousetrap.settings import Group, Settings, SettingsWrong, check_signing, overridden
from mousetrap.shapes import Beat
from mousetrap.shutdown import ExitCode, ExitGuard, end_tasks
from mousetrap.signing import Keyring
from mousetrap.telemetry import Observer, log_to_stderr, printable, version_of_program
from mousetrap.worker import Pauses, Stop, WorkerOptions, WorkerStats, run_worker
from mousetrap.worker_flags import NO_FLAGS, WorkerFlags
from mousetrap.worker_registry import NOTHING, Published, open_registry

_ENDS = {
    ExitCode.FINISHED: "all work finished",
    ExitCode.HANDED_BACK: "some work was handed back",
    ExitCode.WATCHDOG_ENDED: "a handler did not stop; start this worker again",
}

_log = logging.getLogger("mousetrap.worker")

#: Makes a binding from the settings.
Binder = Callable[[Settings], Binding]
#: The settings that the environment may hold beside the engine's: those of the catalogue.
Groups = Sequence[Group[Any]]


class Connect(Protocol):
    """Opens the queue that the settings name; the broker's edge passes it in, for a component knows no edge."""

    def __call__(
        self, settings: Settings, queues: Iterable[str], *, name: str
    ) -> AbstractAsyncContextManager[Queue]: ...


def serve_worker(
    connect: Connect,
    binders: Sequence[Binder],
    environ: Mapping[str, str],
    flags: WorkerFlags = NO_FLAGS,
    *,
    groups: Groups = (),
    pipelines: Iterable[Pipeline] = (),
) -> int:
    """Serves the stages that `binders` bind until SIGTERM or SIGINT; a second signal ends it at once. Returns the exit code.

    The options win over the environment's settings. `pipelines` are all of the workspace: a worker that takes from a queue
    must serve every stage that they have on it.
    """
    try:
        settings = Settings.from_environ(overridden(environ, flags.settings()), groups)
        unsigned = check_signing(settings)
        _check_span(settings)
        log_to_stderr(settings.log_level, settings.log_format)
        if unsigned:
            _log.warning(unsigned)
        return _served(connect, settings, binders, flags.burst, pipelines)
    except SettingsWrong as error:
        print(printable(str(error)), file=sys.stderr)
        return ExitCode.SETTINGS_WRONG


def _served(
    connect: Connect,
    settings: Settings,
    binders: Sequence[Binder],
    burst: bool,
    pipelines: Iterable[Pipeline],
) -> int:
    guard = ExitGuard()
    guard.start()
    vitals = Vitals(stats=WorkerStats(), auto_kill_s=settings.auto_kill_seconds)
    stopping = StopSignals(guard, settings.grace_seconds, Stop())
    counted = Counted.of(settings, vitals)
    with ExitStack() as opened:
        if settings.health_port:
            # Loaded where it is asked for: with the library's HTTP server and its parts it takes 0.9 MiB.
            from mousetrap.serve_worker.health import serve_health

            place = (settings.health_host, int(settings.health_port))
            address = opened.enter_context(serve_health(*place, vitals, counted.page))
            more = ", /metrics" if counted.page else ""
            _log.info("health endpoint: %s/health/live and /health/ready%s", address, more)
        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        stopping.listen(runner.get_loop())
        bindings = [bind(settings) for bind in binders]
        check_shared_queues(bindings, pipelines)
        check_locks(bindings, settings.store_url)
        counted.declare(bindings)
        # All that was imported stays. To look it through again took a full collection 25 ms on a busy machine.
        gc.freeze()
        try:
            serving = _serve(connect, settings, bindings, burst, vitals, stopping, counted)
            code = run_through(runner.get_loop(), serving, stopping.hold_signals)
        except BaseException:
            guard.finish_within(LEAVING_S, ExitCode.DEFECT, "the worker failed, and something does not end")
            raise
    return close_loop(runner, guard, code, _ENDS[code], vitals.stats.hung())


async def _serve(
    connect: Connect,
    settings: Settings,
    bindings: Sequence[Binding],
    burst: bool,
    vitals: Vitals,
    stopping: StopSignals,
    counted: Counted,
) -> ExitCode:
    options = _options(settings, burst, tuple(counted.observers))
    watchdog = Watchdog(vitals, stopping.stop_for_hung_handler)
    queues = sorted({stage.queue for binding in bindings for stage in binding.pipeline.stages})
    async with AsyncExitStack() as opened:
        opened.enter_context(watchdog.watching())
        await opened.enter_async_context(_in_background(turn_forever(vitals)))
        await opened.enter_async_context(_in_background(stopping.limit_every_stop()))
        for watch in counted.watches:
            await opened.enter_async_context(_in_background(watch()))
        queue = await opened.enter_async_context(connect(settings, queues, name=options.name))
        store = await opened.enter_async_context(
            open_store(
                settings.store_url,
                retention=settings.retention_seconds,
                keep=settings.keep_output_bytes,
                tls=settings.tls,
                keyring=settings.keyring,
                payloads=PayloadOptions.of(settings),
            )
        )
        registry = await opened.enter_async_context(
            open_registry(
                settings.store_url, tls=settings.tls, published=_published(bindings, settings.keyring)
            )
        )
        await opened.enter_async_context(kept_lines(settings))
        first = _first_beat(options, bindings)
        heartbeat = Heartbeat(first, vitals, queue, registry, settings.health_line_seconds)
        heartbeat.send_along(CountsReport(vitals.stats, registry, store).send)
        opened.push_async_callback(heartbeat.leave)
        await heartbeat.begin()
        await opened.enter_async_context(_in_background(heartbeat.beat_forever()))
        pauses = Pauses(known=False)
        control = Control(registry.client, registry.place, settings.keyring)
        orders = OrdersFollower(control, options.name, first.queues, pauses, stopping.stop)
        opened.push_async_callback(_forget, control, options.name)
        await opened.enter_async_context(_in_background(orders.follow()))
        finished = await run_worker(queue, store, bindings, options, stopping.stop, vitals.stats, pauses)
    if watchdog.gave_up:
        return ExitCode.WATCHDOG_ENDED
    return ExitCode.FINISHED if finished else ExitCode.HANDED_BACK


async def _forget(control: Control, name: str) -> None:
    """Takes what the worker was asked out of the store; of a worker that is killed, the next request does."""
    with suppress(MousetrapError):
        await control.forget(name)


@asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs `work` beside this block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await end_tasks(task)


def _check_span(settings: Settings) -> None:
    """Raises SettingsWrong where the most jobs at once are fewer than the least."""
    if 0 < settings.concurrency_most < settings.concurrency:
        raise SettingsWrong(
            f"MOUSETRAP_CONCURRENCY_MOST ({settings.concurrency_most}) is less than MOUSETRAP_CONCURRENCY "
            f"({settings.concurrency}): write 0 for never more than that, or a larger number"
        )


def _options(settings: Settings, burst: bool, observers: tuple[Observer, ...]) -> WorkerOptions:
    return WorkerOptions(
        name=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}",
        concurrency=settings.concurrency,
        concurrency_most=settings.concurrency_most,
        prefetch=settings.held,
        lease=settings.lease_seconds,
        grace=settings.grace_seconds,
        fan_most=settings.fan_most,
        burst=burst,
        keyring=settings.keyring,
        observers=observers,
    )


def _first_beat(options: WorkerOptions, bindings: Sequence[Binding]) -> Beat:
    return Beat(
        name=options.name,
        host=socket.gethostname(),
        pid=os.getpid(),
        version=version_of_program(),
        stages=tuple(f"{binding.pipeline.name}.{binding.stage_name}" for binding in bindings),
        queues=tuple(sorted({binding.stage.queue for binding in bindings})),
        concurrency=options.concurrency,
        state="starting",
        done=0,
        failed=0,
        running=0,
        doing=(),
    )


def _published(bindings: Sequence[Binding], keyring: Keyring) -> Published:
    """The manifests of the pipelines that these bind; none where they have no form that others could read."""
    pipelines = {binding.pipeline.name: binding.pipeline for binding in bindings}
    schedules = {binding.pipeline.name: binding.schedules for binding in bindings}
    try:
        return Published.of(write_manifests(pipelines, schedules), keyring)
    except (ManifestBroken, TypeError) as error:
        _log.warning("publishes no manifest, so an API without these pipelines cannot start them: %s", error)
        return NOTHING
