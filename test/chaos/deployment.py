"""Starts the deployment under attack, and collects its history."""

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

from chaos.calls import read_calls
from chaos.collect import collect, left_open, settled_depths, settled_limits
from chaos.control import open_control
from chaos.controlled import Controlled
from chaos.effects import Effects
from chaos.history import History
from chaos.ladder import set_ladder_going
from chaos.ledger import Ledger, Line, Reader
from chaos.scheduler import end_schedules, make_schedules
from chaos.skew import SKEWS_S, skewed
from chaos.submitter import Caller
from chaos.worker_pool import WorkerPool
from chaos.workload import PAYLOADS, QUEUES, SIGNING_KEYS, Order, order
from mousetrap.control import Control
from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.job_queue import connect
from mousetrap.run_store import open_store
from mousetrap.schedules import Record
from mousetrap.shapes import Pause
from mousetrap.signing import Keyring
from support.processes import Process, clean_environment
from support.proxy import Proxy, open_door
from support.rabbitmq_cluster import RabbitMQCluster
from support.valkey_cluster import ValkeyCluster
from support.waiting import until

#: The wire format of the runs that are submitted, and of those of the version before.
NEW_RUNS, RUNS_OF_BEFORE = 5, 2
#: Seconds until all that was accepted must have ended once the faults are over.
_REST = 60.0
#: The same for those that the store has forgotten something of: where it has forgotten an end, none comes.
_REST_OF_FORGOTTEN = 15.0
#: Lines of the ledger among which news are looked for.
_LATEST = 5_000
_TEST = str(Path(__file__).parents[1])


class Deployment:
    """Everything of one run of the suite; `broker` is None where the store's server is the queue as well."""

    def __init__(
        self,
        folder: Path,
        *,
        broker: Controlled | None,
        broker_url: str,
        store: EmbeddedValkey | ValkeyCluster,
        doors: Mapping[str, Proxy],
        workers: int,
        seed: int,
    ) -> None:
        self.folder = folder
        self._skews = cycle(SKEWS_S)
        self.broker = broker
        self.broker_url = broker_url
        self.store = store
        self._doors = doors
        self.seed = seed
        self.chance = random.Random(f"faults of {seed}")
        self.ledger = Reader(folder / "ledger.jsonl")
        self._effects = Effects.made(folder / "effects.db")
        self.callers: list[Process] = []
        self._rate = 0.0
        self._special_orders: dict[str, Order] = {}
        self._deleted: set[str] = set()
        self._forgotten: set[str] = set()
        self.pool = WorkerPool(self._start_worker, workers)
        #: Those that fire schedules; None where there are no schedules.
        self.schedulers: WorkerPool | None = None

    @property
    def broker_door(self) -> Proxy:
        """What stands before the broker."""
        return self._doors[self.broker_url]

    @property
    def store_door(self) -> Proxy:
        """What stands before the store; the same where that is the queue as well."""
        return self._doors[self.store.url]

    @property
    def vhost(self) -> str:
        """RabbitMQ's virtual host."""
        return unquote(urlsplit(self.broker_url).path.removeprefix("/")) or "/"

    def close(self) -> None:
        self.pool.close()
        if self.schedulers:
            self.schedulers.close()
        for caller in self.callers:
            caller.kill()
        self.ledger.close()

    # Callers

    def start_caller(self, rate: float) -> Process:
        """A caller that submits the seeded orders, so many a second."""
        self._rate = rate
        return self._start_caller(self.seed, rate, NEW_RUNS)

    def start_caller_of_before(self, rate: float) -> Process:
        """The same whose runs are of the version before: an upgrade leaves such runs under way. It comes before the other one."""
        return self._start_caller(self.seed + 1_000, rate, RUNS_OF_BEFORE)

    def _start_caller(self, seed: int, rate: float, new_runs: int) -> Process:
        self.callers.append(self._start("chaos.submitter", str(seed), str(rate), str(new_runs)))
        self.callers[-1].wait_for_line("caller is up")
        return self.callers[-1]

    def start_schedulers(self) -> None:
        """Two processes that fire the same schedules, as two APIs do."""
        asyncio.run(make_schedules(self.store.url))
        start = partial(self._start, "chaos.scheduler")
        self.schedulers = WorkerPool(start, 2, line="scheduler is up")
        self.schedulers.wait_until_up()

    def start_caller_again(self) -> Process:
        return self.start_caller(self._rate)

    def submit(self, kind: str, count: int = 1) -> list[str]:
        """Submits runs of one kind beside the caller's; their ids, once they are accepted."""
        wanted = [self._special(kind) for _ in range(count)]
        with patch("mousetrap.jobs.job.NEW_RUNS", NEW_RUNS):
            asyncio.run(self._submit(wanted))
        return [each.run for each in wanted]

    def call_off(self, run: str) -> None:
        """Cancels a run that `submit` has submitted."""
        asyncio.run(self._call_off(self._special_orders[run]))

    async def _submit(self, wanted: list[Order]) -> None:
        async with self._caller() as caller:
            await asyncio.gather(*(caller.submit(each) for each in wanted))

    async def _call_off(self, order: Order) -> None:
        async with self._caller() as caller:
            await caller.call_off(order)

    @asynccontextmanager
    async def _caller(self) -> AsyncIterator[Caller]:
        async with (
            connect(self.broker_url, QUEUES, name="special") as queue,
            open_store(
                self.store.url, retention=7200.0, keyring=Keyring.parse(SIGNING_KEYS), payloads=PAYLOADS
            ) as store,
        ):
            ledger = Ledger(self.folder / "ledger.jsonl")
            try:
                yield Caller(store, queue, ledger)
            finally:
                ledger.close()

    def _special(self, kind: str) -> Order:
        special = order(kind, len(self._special_orders) + 1, self.chance, mark=f"x{self.seed}")
        self._special_orders[special.run] = special
        return special

    def forgive(self, runs: set[str]) -> None:
        """These runs were in a queue that was deleted."""
        self._deleted |= runs

    def forget(self, runs: set[str]) -> None:
        """The store can have forgotten something of these runs."""
        self._forgotten |= runs

    def pause(self, queue: str) -> None:
        """Workers take nothing from this queue within two seconds."""
        asyncio.run(self._control(lambda it: it.pause(queue, Pause(who="chaos", since_ms=0, why=""))))

    def resume(self, queue: str) -> None:
        asyncio.run(self._control(lambda it: it.resume(queue)))

    async def _control(self, act: Callable[[Control], Coroutine[Any, Any, Any]]) -> None:
        async with open_control(self.store.url) as control:
            await act(control)

    # Watching

    def done_after(self, moment: float, seconds: float) -> Line:
        """The first job done of a run that was asked for after that moment; AssertionError if there is none in time."""
        return until(lambda: self._new_and_done(moment), "a job of a new run is done", seconds)

    def _new_and_done(self, moment: float) -> Line | None:
        later = [line for line in self.ledger.all()[-_LATEST:] if line.at > moment]
        new = {line.run for line in later if line.what == "attempted"}
        return next((line for line in later if line.what == "done" and line.run in new), None)

    def wait_for_end(self, runs: list[str], seconds: float = _REST) -> None:
        """Returns once all of these runs, as far as the store knows them, have ended."""
        waiting = set(runs) - self._deleted
        deadline = time.monotonic() + seconds
        while waiting := left_open(self.store.url, waiting):
            if time.monotonic() > deadline:
                return  # the invariants say it better
            time.sleep(0.2)

    # The end

    async def _finish(self) -> None:
        """Publishes what no caller lives to publish."""
        async with self._caller() as caller:
            await caller.finish_what_others_began(age=0.0)

    def come_to_rest(self) -> History:
        """Stops callers, waits for the work to end, stops the workers, and gathers what can be known."""
        for caller in self.callers:
            if caller.running:
                caller.terminate(seconds=60)
        schedules, ends = self._end_schedules()
        asyncio.run(self._finish())
        depths = self._settle()
        if isinstance(self.broker, RabbitMQCluster) and any(depths.values()):
            # A cluster can forget a rung of the delay ladder after that was looked at, as when a leader came back a moment ago.
            set_ladder_going(self.broker)
            self._settle()
        exits = self.pool.drain() + ends
        for each in self._processes():
            (self.folder / f"output.{each.pid}").write_text(each.output)
        return asyncio.run(
            collect(
                broker=self.broker,
                broker_url=self.broker_url,
                store_url=self.store.url,
                ledger=tuple(self.ledger.all()),
                calls=read_calls(self.folder / "calls.jsonl"),
                effects=self._effects.all(),
                logs={f"{each.name} {each.pid}": tuple(each.lines) for each in self._processes()},
                deleted=frozenset(self._deleted),
                forgotten=frozenset(self._forgotten),
                exits=tuple(exits),
                schedules=schedules,
            )
        )

    def _end_schedules(self) -> tuple[tuple[Record, ...], list[int]]:
        """Their records once they owe nothing, and the exit codes of the processes that fired them."""
        if self.schedulers is None:
            return (), []
        self.schedulers.wait_until_up()
        return asyncio.run(end_schedules(self.store.url)), self.schedulers.drain()

    def _settle(self) -> Mapping[str, int]:
        """Waits for the ends of runs and for empty queues; the messages that are left in each queue."""
        self.wait_for_end(sorted({line.run for line in self.ledger.all()} - self._forgotten))
        self.wait_for_end(sorted(self._forgotten), _REST_OF_FORGOTTEN)
        self.pool.wait_until_up()
        # What was called off while it waited for its next attempt comes round once more, and somebody must take it.
        depths = asyncio.run(settled_depths(self.broker, self.broker_url, self.store.url))
        asyncio.run(settled_limits(self.store.url))  # while somebody takes from the lines
        return depths

    def _processes(self) -> list[Process]:
        schedulers = self.schedulers.all if self.schedulers else []
        return [*self.pool.all, *self.callers, *schedulers]

    def _start_worker(self) -> Process:
        return self._start("chaos.worker")

    def _start(self, module: str, *more: str) -> Process:
        urls = [
            self._doors[url].url if url in self._doors else url for url in (self.broker_url, self.store.url)
        ]
        command = [sys.executable, "-m", module, str(self.folder), *urls]
        path = os.pathsep.join([_TEST, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        environment = skewed(clean_environment(PYTHONPATH=path), next(self._skews))
        return Process([*command, *more], environment, self.folder)


@contextmanager
def deployed(
    folder: Path,
    *,
    broker: Controlled | None,
    broker_url: str,
    store: EmbeddedValkey | ValkeyCluster,
    workers: int,
    seed: int,
) -> Iterator[Deployment]:
    """A deployment whose processes and proxies end with the block; the broker and the store are the caller's.

    The wall clocks of its processes are hours apart.

    Before a cluster there is no proxy: a client is to choose among its nodes.
    """
    with ExitStack() as opened:
        doors = {
            url: opened.enter_context(open_door(url, amqp=url.startswith("amqp")))
            for url in (broker_url, store.url)
            if "," not in url
        }
        deployment = Deployment(
            folder,
            broker=broker,
            broker_url=broker_url,
            store=store,
            doors=doors,
            workers=workers,
            seed=seed,
        )
        opened.callback(deployment.close)
        deployment.pool.wait_until_up()
        yield deployment
