"""Submits seeded orders at a steady rate, and repeats refused ones.

`python -m chaos.submitter FOLDER BROKER_URL STORE_URL SEED RATE NEW_RUNS`; NEW_RUNS is the wire format of the runs that it begins.
SIGTERM: submit nothing new, end when all is answered. SIGUSR1 sets the trap that FOLDER/trap.<pid> describes. Started again, it
goes on after its last attempt in the ledger, and first asks again for much of what it never had an answer to, as a caller with
an Idempotency-Key does.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path

import msgspec

from chaos.ledger import Ledger, Line, Reader
from chaos.pointed import PointedPayloads, PointedQueue
from chaos.points import Trap
from chaos.skew import set_wrong
from chaos.workload import KINDS, PAYLOADS, PIPELINES, QUEUES, SIGNING_KEYS, Order, orders
from mousetrap.job_queue import QueueOptions, connect
from mousetrap.jobs import Message, MousetrapError, Queue
from mousetrap.run_store import NewRun, Opened, RunStore, open_store
from mousetrap.shapes import RunState
from mousetrap.signing import Keyring
from mousetrap.submit_run import SubmitOptions, Submitter
from mousetrap.telemetry import log_to_stderr

#: The three points of the way in at which a caller's process can die with a run half submitted.
INPUT_PUT, RECORDED, FIRST_SENT = "input_put", "recorded", "first_job_sent"
#: Seconds between two submissions of a run that was refused, and the most of them under way at once.
_AGAIN, _AT_ONCE = 0.5, 200
_RETENTION, _CONFIRM = 7200.0, 5.0
#: Seconds between two searches for unpublished runs, and how old these must be.
_SEARCH_INTERVAL_S, _OLD_S = 2.0, 6.0
#: Orders, by their last digit, whose caller takes a refusal for an answer; and those whom a dead caller never asks again for.
_GIVES_UP, _FORGOTTEN = (3, 7), (1, 3, 5)
#: The wire format since which a run meets the limits of its stages.
_FIRST_WITH_LIMITS = 5


class _Queue(PointedQueue):
    """A queue that passes the trap's point when a first job has been sent and not confirmed."""

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        sending = asyncio.ensure_future(self._inner.publish(queue, message, after=after))
        await self._trap.passing_soon(FIRST_SENT)
        await sending


class _Store(RunStore):
    """A store that passes the trap's points when an input is put, and when a run is recorded and not known to be published."""

    def __init__(self, inner: RunStore, trap: Trap) -> None:
        self.__dict__.update(inner.__dict__)
        self.payloads = PointedPayloads(inner.payloads, trap, put=INPUT_PUT)
        self._trap = trap

    async def open_drafted(self, draft: NewRun) -> Opened:
        opened = await super().open_drafted(draft)
        self._trap.passing(RECORDED)
        return opened


class Caller:
    """Submits orders, and writes down what it asked and what it was answered."""

    def __init__(self, store: RunStore, queue: Queue, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger
        self._submitter = Submitter(store, queue, Keyring.parse(SIGNING_KEYS), PIPELINES)

    async def submit(self, order: Order, *, asked_before: bool = False) -> None:
        """Returns once the run is accepted, however often that takes, and called off if it is to be.

        Every second one has an id that nothing else can have, as far as it was not asked for before.
        """
        self._ledger.note("attempted", run=order.run, kind=order.kind)
        pipeline, body = KINDS[order.kind].pipeline, msgspec.json.encode(order.work)
        options = SubmitOptions(delay_s=order.later, expires_in=order.expires)
        is_new = not asked_before and order.work.order % 2 == 0
        while True:
            try:
                await self._submitter.submit(pipeline, body, run_id=order.run, options=options, is_new=is_new)
            except MousetrapError:
                is_new = False
                self._ledger.note("refused", run=order.run, kind=order.kind)
                if order.work.order % 10 in _GIVES_UP:
                    return
                await asyncio.sleep(_AGAIN)
            else:
                self._ledger.note("accepted", run=order.run, kind=order.kind)
                break
        if order.called_off is not None:
            await asyncio.sleep(order.called_off)
            await self.call_off(order)

    async def finish_what_others_began(self, age: float) -> None:
        """As the API does from time to time: publishes what was recorded by a caller who died then."""
        with suppress(MousetrapError):  # the next time, then
            await self._submitter.republish(age=age)

    async def call_off(self, order: Order) -> None:
        """Returns once there is an answer, which is written down."""
        while True:
            try:
                state = await self._store.cancel(order.run)
            except MousetrapError:
                await asyncio.sleep(_AGAIN)
            else:
                answer = "cancelled" if state == RunState.CANCELLED else "too_late"
                self._ledger.note(answer, run=order.run, kind=order.kind)
                return


async def submit_all(
    folder: Path, broker_url: str, store_url: str, seed: int, rate: float, *, has_limits: bool
) -> None:
    """Submits until SIGTERM."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    trap = Trap(folder / f"trap.{os.getpid()}", broker_url)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, trap.set)
    options = QueueOptions(confirm_deadline=_CONFIRM)
    async with (
        connect(broker_url, QUEUES, name="caller", options=options) as queue,
        open_store(
            store_url, retention=_RETENTION, keyring=Keyring.parse(SIGNING_KEYS), payloads=PAYLOADS
        ) as store,
    ):
        ledger = folder / "ledger.jsonl"
        caller = Caller(_Store(store, trap), _Queue(queue, trap), Ledger(ledger))
        is_cluster = "," in store_url
        planned = partial(orders, seed, locks=not is_cluster, limits=not is_cluster and has_limits)
        await _at_a_rate(caller, _left(ledger, seed, planned), rate, stop)


async def _at_a_rate(
    caller: Caller, plan: Iterator[tuple[Order, bool]], rate: float, stop: asyncio.Event
) -> None:
    room = asyncio.Semaphore(_AT_ONCE)
    print("caller is up", flush=True)
    async with asyncio.TaskGroup() as under_way:
        finishing = under_way.create_task(_finish_again_and_again(caller))
        while not stop.is_set():
            await room.acquire()
            order, asked_before = next(plan)
            task = under_way.create_task(caller.submit(order, asked_before=asked_before))
            task.add_done_callback(lambda _: room.release())
            await asyncio.sleep(1 / rate)
        finishing.cancel()


async def _finish_again_and_again(caller: Caller) -> None:
    while True:
        await asyncio.sleep(_SEARCH_INTERVAL_S)
        await caller.finish_what_others_began(_OLD_S)


def _left(ledger: Path, seed: int, planned: Callable[[], Iterator[Order]]) -> Iterator[tuple[Order, bool]]:
    """The orders without an answer, then those that were never asked for; each with whether it was asked for before."""
    lines = Reader(ledger).all()
    asked = _runs(lines, "attempted", seed)
    answered = _runs(lines, "accepted", seed) | _runs(lines, "refused", seed)
    for order in islice(planned(), len(asked)):
        if order.run not in answered and order.work.order % 10 not in _FORGOTTEN:
            yield order, True
    for order in islice(planned(), len(asked), None):
        yield order, False


def _runs(lines: list[Line], what: str, seed: int) -> set[str]:
    return {line.run for line in lines if line.what == what and line.run.startswith(f"s{seed}-")}


if __name__ == "__main__":
    set_wrong(os.environ)
    log_to_stderr("INFO", "text")
    folder, broker_url, store_url, seed, rate, new_runs = sys.argv[1:]
    import_module("mousetrap.jobs.job").NEW_RUNS = int(new_runs)  # type: ignore[attr-defined]
    has_limits = int(new_runs) >= _FIRST_WITH_LIMITS
    asyncio.run(
        submit_all(Path(folder), broker_url, store_url, int(seed), float(rate), has_limits=has_limits)
    )
