"""Makes the parts of a worker, and joins them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from mousetrap.handlers import BoundHandler
from mousetrap.jobs import Queue
from mousetrap.run_store import RunStore
from mousetrap.telemetry import EventLog, Observers
from mousetrap.tracing import open_tracer
from mousetrap.worker.attempts import Attempts
from mousetrap.worker.claims import Claims
from mousetrap.worker.joins import Joins
from mousetrap.worker.large_payloads import LargePayloads
from mousetrap.worker.lines import Lines
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.outages import Outages
from mousetrap.worker.pauses import Pauses
from mousetrap.worker.pool import Pool
from mousetrap.worker.process import Processor
from mousetrap.worker.run_claimed import ClaimedRunner
from mousetrap.worker.settle import Settler
from mousetrap.worker.stats import WorkerStats
from mousetrap.worker.subscriptions import Subscriptions
from mousetrap.worker.suspects import SuspectGate
from mousetrap.worker.turns import Alone, Turns


@dataclass(frozen=True, slots=True)
class Shared:
    """What the parts of a worker share."""

    queue: Queue
    store: RunStore
    options: WorkerOptions
    #: Is kept up to date.
    stats: WorkerStats
    #: May change while the worker runs.
    pauses: Pauses
    outages: Outages
    observer: Observers
    gate: SuspectGate


def make_shared(
    queue: Queue, store: RunStore, options: WorkerOptions, stats: WorkerStats | None, pauses: Pauses | None
) -> Shared:
    """What the parts of a worker of these options share; statistics and pauses of its own where none are given."""
    stats, pauses = stats or WorkerStats(), pauses or Pauses()
    outages = Outages(options.runtime.chance)
    observer = Observers(EventLog(), stats, *options.observers)
    return Shared(queue, store, options, stats, pauses, outages, observer, SuspectGate())


@dataclass(frozen=True, slots=True)
class Parts:
    """What takes messages, does their jobs and settles them."""

    attempts: Attempts
    processor: Processor
    turns: Turns
    lines: Lines
    taking: Subscriptions
    pool: Pool
    #: What waits for a runner; None ends one.
    alone: "asyncio.Queue[Alone | None]"


def make_parts(shared: Shared, handlers: Sequence[BoundHandler], attempts: Attempts) -> Parts:
    """The parts of a worker of these handlers; nothing is taken yet."""
    options, outages, observer = shared.options, shared.outages, shared.observer
    queues = sorted({handler.stage.queue for handler in handlers})
    payloads = LargePayloads(shared.store.payloads, outages, queues)
    claims = Claims(shared.store, options, outages, observer, payloads)
    joins = Joins(shared.store, outages, options.keyring)
    settler = Settler(shared.queue, options, outages, observer, joins)
    runner = ClaimedRunner(claims, attempts, payloads, observer, shared.gate, open_tracer(options.name))
    alone: asyncio.Queue[Alone | None] = asyncio.Queue()
    lines = Lines(shared.store, attempts, settler, outages, options)
    turns = Turns(attempts, claims, runner, settler, lines, options, alone.put_nowait)
    lines.serve(handlers, turns.begin_first, turns.received)
    processor = Processor(attempts, claims, runner, settler, turns, lines, options)
    taking = Subscriptions(shared.queue, queues, options.prefetch, turns, shared.pauses)
    attempts.room = options.concurrency
    pool = Pool(options, attempts, turns, taking, shared.stats)
    parts = Parts(attempts, processor, turns, lines, taking, pool, alone)
    _show(parts, handlers, shared)
    return parts


def _show(parts: Parts, handlers: Sequence[BoundHandler], shared: Shared) -> None:
    """Has the statistics show what the parts hold."""
    stats = shared.stats
    stats.running, stats.prefetched = parts.attempts.running, parts.turns.prefetched
    stats.queues = {(it.pipeline.name, it.stage.name): it.stage.queue for it in handlers}
    stats.concurrency = shared.options.concurrency
