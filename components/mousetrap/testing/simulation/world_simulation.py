"""A simulation whose workers serve a test's handlers, and are started again."""

import asyncio
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from mousetrap.handlers import Binding
from mousetrap.jobs import MousetrapError, dead_queue
from mousetrap.pipeline import Pipeline
from mousetrap.submit_run import Submitter
from mousetrap.testing.simulation.process import CrashPoint, Process
from mousetrap.testing.simulation.simulation import KEYRING, Node, Simulation
from mousetrap.testing.simulation.store_client import Transitions
from mousetrap.testing.simulation.threads import ClockedThreads
from mousetrap.testing.world_run import RaisedErrors
from mousetrap.worker import Runtime, WorkerOptions, run_worker

#: Of a message between a process and a server.
_LATENCY_S = 0.001
#: Between two searches for runs that were recorded and not published, once something has failed.
_REPUBLISH_S = 30.0
#: Bytes of an output that the store keeps for re-runs.
_KEEP = 65_536


@dataclass(frozen=True, slots=True)
class Served:
    """What one worker serves."""

    bindings: Sequence[Binding]
    concurrency: int


class WorldSimulation(Simulation):
    """The simulation behind a World: an API node that submits, workers that serve, and who looks after both."""

    def __init__(self) -> None:
        super().__init__(keep=_KEEP)
        self.pipelines: dict[str, Pipeline] = {}
        #: What each worker that lives or is about to live serves; a restarted one has a new node.
        self.workers: dict[Node, Served] = {}
        self.restarting: list[Served] = []
        #: The ids of all runs that were ever opened, oldest first.
        self.run_ids: list[str] = []
        self.errors = RaisedErrors()
        #: Why a worker ended that was not asked to.
        self.defects: list[Exception] = []
        self.changed = asyncio.Event()
        self.broker.changed = self.changed.set
        self.api = self.open("api", _LATENCY_S)
        self._chance = random.Random(0).random
        self._started = 0
        self._repairing: asyncio.Task[None] | None = None

    @property
    def submitter(self) -> Submitter:
        """What the API submits with."""
        return Submitter(self.api.store, self.api.queue, KEYRING, self.pipelines)

    def declare(self, pipeline: Pipeline) -> None:
        """Makes the pipeline's queues. Raises ValueError for another pipeline of the same name."""
        known = self.pipelines.setdefault(pipeline.name, pipeline)
        if known != pipeline:
            raise ValueError(f"the world has another pipeline named {pipeline.name!r}")
        for stage in pipeline.stages:
            self.broker.declare(stage.queue)
            self.broker.declare(dead_queue(stage.queue))

    def start(self, served: Served) -> None:
        """Starts a worker."""
        self._started += 1
        node = self.open(f"worker-{self._started}", _LATENCY_S)
        self.workers[node] = served
        node.process.note("starts")
        node.task = self.loop.create_task(self._work(node, served))

    def kill(self, node: Node, at: CrashPoint | None, back_after: float) -> None:
        """Kills a worker, now or at a point to come."""
        self.repair()
        node.back_after = back_after
        if at is None:
            node.process.die("is killed")
        else:
            node.process.crash_point = at

    def repair(self) -> None:
        """Begins the API's duty to publish what was recorded and not published."""
        if self._repairing is None:
            self._repairing = self.loop.create_task(self._republish())

    def transitioned(self, process: Process, happened: Transitions) -> None:
        for run_id in _recorded(happened):
            if run_id not in self.run_ids:
                self.run_ids.append(run_id)
        self.changed.set()

    def process_ended(self, node: Node) -> None:
        served = self.workers.pop(node, None)
        if served is not None and node.back_after < float("inf"):
            self.restarting.append(served)
            self.loop.call_later(node.back_after, self._restart, served)
        self.changed.set()

    def _restart(self, served: Served) -> None:
        self.restarting.remove(served)
        self.start(served)

    async def _work(self, node: Node, served: Served) -> None:
        options = WorkerOptions(
            name=node.process.name,
            concurrency=served.concurrency,
            keyring=KEYRING,
            runtime=Runtime(
                now=lambda: self.loop.epoch_ms / 1000,
                chance=self._chance,
                threads=lambda _: ClockedThreads(self.loop),
                raised=self.errors,
            ),
        )
        try:
            await run_worker(node.queue, node.store, served.bindings, options, node.stop)
        except Exception as error:  # noqa: BLE001  of a lifespan, most often
            self.defects.append(error)
            node.back_after = float("inf")
        await node.queue.close()
        node.process.alive = False
        self.process_ended(node)

    async def _republish(self) -> None:
        while True:
            await asyncio.sleep(_REPUBLISH_S)
            with suppress(MousetrapError):
                await self.submitter.republish()


def _recorded(happened: Transitions) -> Iterator[str]:
    """The runs that are recorded now: opened by a submission, or by the claim of a message that came first."""
    for name, given, (answer, *_) in happened:
        if name in ("open_run", "plain_open") and answer == "opened":
            yield given[0]
        elif name == "claim" and answer == "granted":
            yield given[1]


#: Where a worker can be killed: how the event log describes the call.
_POINTS = {
    "claim": re.compile(r"asks the store to (.*, )?(plain_)?claim "),
    "record": re.compile(
        r"asks the store to (.*, )?(plain_decision|plain_completion|done|complete|retry|wait_out|give_up) "
    ),
    "publish": re.compile(r"^publishes "),
    "acknowledge": re.compile(r"^acknowledges "),
}
POINTS = tuple(f"{when}_{what}" for what in _POINTS for when in ("before", "after"))


def crash_point(at: str) -> CrashPoint:
    """The point of that name. Raises ValueError for one that is not in POINTS."""
    when, _, what = at.partition("_")
    if at not in POINTS:
        raise ValueError(f"a worker cannot be killed at {at!r}; it can at: {', '.join(POINTS)}")
    return CrashPoint(calls=1, happened=when == "after", at=_POINTS[what])
