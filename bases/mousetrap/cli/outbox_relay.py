"""Runs a relay in this process until a signal."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from mousetrap.client import AsyncClient, UnknownPipeline
from mousetrap.outbox import Entry, PipelineUnknown, Relay, Submit, open_rows
from mousetrap.settings import Settings, check_signing
from mousetrap.shutdown import ExitCode, ExitGuard
from mousetrap.telemetry import log_to_stderr

#: Seconds after the grace in which connections are closed.
_AFTER_GRACE_S = 4.0
#: Seconds to end after a second signal.
_FORCED_S = 0.5

_log = logging.getLogger("mousetrap.outbox")


def run_relay(settings: Settings, url: str, table: str) -> int:
    """Relays until SIGTERM or SIGINT, which let the batch under way end; a second signal ends it at once.

    Returns the exit code. Raises ValueError for an address of another kind, OutboxRefused where the table is missing.
    """
    unsigned = check_signing(settings)
    log_to_stderr(settings.log_level, settings.log_format)
    if unsigned:
        _log.warning(unsigned)
    guard = ExitGuard()
    guard.start()
    submitted = asyncio.run(_relay(settings, url, table, guard))
    _log.info("stopped: %d runs submitted", submitted)
    return ExitCode.FINISHED


async def _relay(settings: Settings, url: str, table: str, guard: ExitGuard) -> int:
    stop = _stop_at_signals(guard, settings.grace_seconds)
    with open_rows(url, table) as rows:
        async with _submitting(settings) as submit:
            relay = Relay(rows, submit)
            _log.info("relaying the outbox table %s", table)
            await relay.run(stop)
    return relay.submitted


def _stop_at_signals(guard: ExitGuard, grace_s: float) -> asyncio.Event:
    stop = asyncio.Event()

    def on_signal() -> None:
        seconds = _FORCED_S if stop.is_set() else grace_s + _AFTER_GRACE_S
        guard.end_within(
            seconds, ExitCode.HANDED_BACK, "the relay was asked to stop, and has not ended in time"
        )
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


@asynccontextmanager
async def _submitting(settings: Settings) -> AsyncIterator[Submit]:
    """Submits entries over broker and store."""
    async with AsyncClient(settings=settings) as client:

        async def submit(entry: Entry) -> None:
            options = entry.options(int(time.time() * 1000))
            try:
                await client.submit(
                    entry.pipeline,
                    msgspec.Raw(entry.input),
                    id=entry.run_id,
                    delay=options.delay_s,
                    expires_in=options.expires_in,
                    tags=options.tags,
                    priority=options.priority,
                )
            except UnknownPipeline as error:
                raise PipelineUnknown(str(error)) from error

        yield submit
