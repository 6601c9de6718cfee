"""Opens the children of a job, a window at a time."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, UnsetType

from mousetrap.handlers import AttemptInfo, AttemptOver, FanRefused
from mousetrap.jobs import Job, Reference, TraceContext
from mousetrap.pipeline import Fan, Payload
from mousetrap.retry import Outage
from mousetrap.run_store import FanOpening, KeyTwice, OpenedFan, RunStore, Window
from mousetrap.worker.joins import join_text
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.outages import Outages
from mousetrap.worker.send_children import ChildSender

if TYPE_CHECKING:
    from mousetrap.tracing import AttemptSpan

#: Children, and bytes of their payloads, that one window has at most. The next is opened once the broker has these.
WINDOW, WINDOW_BYTES = 500, 4 * 1024 * 1024

#: Children of one fan that are in the trace of its run: of more, each has a trace of its own, which leads back.
MOST_IN_TRACE = 100

#: The job of an attempt that is under way, with the fan that it opens, and the attempt's span.
Begun = Callable[[AttemptInfo], "tuple[Job, Fan, AttemptSpan | None]"]


class Item(msgspec.Struct, frozen=True, gc=False):
    """What a child is made of."""

    payload: Payload
    key: str | None
    #: Where the payload is, when it is too large for a message; then `payload` is null.
    reference: Reference | UnsetType = UNSET


class FanOuts:
    """Makes the fan-outs of a worker's attempts."""

    def __init__(
        self, store: RunStore, sender: ChildSender, outages: Outages, options: WorkerOptions, begun: Begun
    ) -> None:
        self._store = store
        self._sender = sender
        self._outages = outages
        self.keyring = options.keyring
        #: Children of one run.
        self._most = options.fan_most
        self._begun = begun

    def of(self, attempt: AttemptInfo) -> "FanOut":
        """The fan-out of an attempt that is under way."""
        job, fan, span = self._begun(attempt)
        return FanOut(Opener(job, fan, attempt, self, span))

    async def put(self, payload: Payload, run_id: str, key: str | None) -> Item:
        """A payload that is too large for a message is put, and referred to."""
        payloads = self._store.payloads
        if not payloads.is_large(len(payload.raw)):
            return Item(payload, key)
        reference = await self._outages.retry_until_up("put payloads", payloads.put, run_id, payload.raw)
        return Item(Payload(b"null", payload.serializer), key, reference)

    async def open(self, job: Job, attempt: AttemptInfo, window: Window) -> OpenedFan:
        """Opens children. Raises AttemptOver where nothing may follow, and FanRefused."""
        reply = await self._outages.retry_until_up(
            "open children",
            self._store.open_children,
            job,
            attempt.fence,
            window._replace(most=self._most),
            worker=attempt.worker,
        )
        if isinstance(reply, OpenedFan):
            return reply
        raise _refusal(reply, self._most)

    async def send(self, children: dict[int, Job], queue: str) -> None:
        """As ChildSender."""
        await self._sender.send(children, queue)


def _refusal(reply: FanOpening, most: int) -> FanRefused | AttemptOver:
    """Why a window was not opened."""
    match reply:
        case KeyTwice(key):
            return FanRefused("contract", f"it gives the key {key[:64]!r} twice")
        case "changed":
            return FanRefused(
                "fan-changed",
                "an earlier attempt has opened children with keys, and this one gives none, or the other way round: give keys in "
                "every attempt or in none",
            )
        case "too-wide":
            return FanRefused(
                "fan-too-wide",
                f"the run has more than {most} children (MOUSETRAP_FAN_MOST): give fewer and larger items",
            )
        case _:
            return AttemptOver()


class Opener:
    """Opens and sends the children of one attempt."""

    def __init__(
        self, job: Job, fan: Fan, attempt: AttemptInfo, worker: FanOuts, span: "AttemptSpan | None"
    ) -> None:
        self._job = job
        self._span = span
        #: That of the children.
        self._trace = job.trace
        self._attempt = attempt
        self._worker = worker
        (self._stage,) = fan.children
        self._window = Window(
            need=fan.need, join=join_text(fan, job, worker.keyring, span.carried if span else job.trace)
        )

    async def item(self, payload: Payload, key: str | None) -> Item:
        """What a child is made of."""
        return await self._worker.put(payload, self._job.run_id, key)

    async def open(
        self, number: int, opened: int, confirmed: int, keys: Sequence[str] | None = None
    ) -> OpenedFan:
        """Opens the window of this number, from 1, and notes what is confirmed. Raises AttemptOver and FanRefused."""
        window = self._window._replace(number=number, opened=opened, confirmed=confirmed, keys=keys)
        reply = await self._worker.open(self._job, self._attempt, window)
        self._trace = self._trace_of(len(keys) if keys else opened, reply.opened)
        return reply

    def _trace_of(self, count: int, opened: int) -> TraceContext | UnsetType:
        """What the children of a window carry: in the run's trace, unless there are too many for one."""
        if self._span is None:
            trace = self._job.trace
        elif opened <= MOST_IN_TRACE:
            return self._span.published(self._stage.queue, count=count)
        else:
            trace = self._span.carried
        if trace is UNSET or opened <= MOST_IN_TRACE:
            return trace
        return TraceContext(link=trace.traceparent)

    async def send(self, items: dict[int, Item]) -> None:
        """Publishes children, each with its index. What the broker has leaves `items`, also when it raises Outage."""
        children = {index: self._child(index, item) for index, item in items.items()}
        try:
            await self._worker.send(children, self._stage.queue)
        finally:
            for index in items.keys() - children.keys():
                del items[index]

    def _child(self, index: int, item: Item) -> Job:
        payload = item.payload
        child = self._job.child(
            self._stage.name,
            payload.raw,
            payload.serializer,
            item.reference,
            index=index,
            key=item.key,
            fence=self._attempt.fence,
        )
        return child if self._trace is UNSET else msgspec.structs.replace(child, trace=self._trace)


class FanOut:
    """The children of one attempt, as its handler gives them.

    1. `add` gathers a window: WINDOW children, or WINDOW_BYTES.
    2. The window is opened in the store under the attempt's fence, published, and confirmed by the broker; then the next begins. So
       what a worker sends that has lost its claim is not open, and one window is in memory.
    3. An attempt after a crash gives the same children again. Those that are known to be with the broker are not sent twice.
    4. `close` sends the rest, and returns how many there are: the job's outcome. Fewer than were opened before would leave the
       join without some, so the job is given up then.

    With keys, the store has each key's index: the order may change between attempts, and there may be more of them.
    """

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._window: list[Item] = []
        self._bytes = 0
        self._windows = 0
        #: As the store has it; None until it was asked.
        self._opened: int | None = None
        #: The children below are with the broker.
        self._confirmed = 0
        #: How many this attempt has given so far, without those in the window.
        self._given = 0
        #: Of children with keys: a bit for each index that this attempt has sent, or knows to be with the broker.
        self._sent: bytearray | None = None

    async def add(self, item: Payload, key: str | None) -> None:
        """Takes a child; returns once there is room for the next."""
        if (self._given or self._window) and (key is None) is (self._sent is not None):
            raise FanRefused("contract", "some of its children have keys, and others have none")
        if key is not None and self._sent is None:
            self._sent = bytearray()
        self._window.append(await self._opener.item(item, key))
        self._bytes += len(self._window[-1].payload.raw)
        if len(self._window) >= WINDOW or self._bytes >= WINDOW_BYTES:
            await self._flush()

    async def close(self) -> int:
        """Sends what is left; how many children there are."""
        if self._window or self._opened is None:
            await self._flush()
        opened = self._opened or 0
        if self._given < opened:
            raise FanRefused(
                "fan-changed",
                f"an earlier attempt has opened {opened} children, and this one does not give all of them again: give the same "
                "ones in the same order, or all of the same keys",
            )
        return opened

    async def _flush(self) -> None:
        window, self._window, self._bytes = self._window, [], 0
        first, self._given = self._given, self._given + len(window)
        if self._sent is None and self._opened is not None and self._given <= self._confirmed:
            return  # all of them are with the broker since an earlier attempt
        self._windows += 1
        items = await self._open(first, window)
        try:
            await self._opener.send(items)
        except Outage:
            self._note_sent(left=items)
            # The next attempt is not to send again what the broker has.
            await self._opener.open(self._windows, 0, self._confirmed)
            raise
        self._note_sent(left=items)

    async def _open(self, first: int, window: Sequence[Item]) -> dict[int, Item]:
        """Opens the window; the children of it that are to be sent, by index."""
        keys = None if self._sent is None else [item.key or "" for item in window]
        opened = 0 if keys is not None else self._given
        reply = await self._opener.open(self._windows, opened, self._confirmed, keys)
        self._opened, self._confirmed = reply.opened, max(self._confirmed, reply.confirmed)
        indexes = range(first, self._given) if keys is None else reply.indexes
        items = dict(zip(indexes, window, strict=True))
        if self._sent is not None:
            self._sent.extend(bytes(max(0, reply.opened // 8 + 1 - len(self._sent))))
            for index in indexes:
                self._sent[index // 8] |= 1 << index % 8
        # One that was given up has a dead letter, which leads to it alone.
        lost = frozenset(reply.lost)
        return {
            index: item for index, item in items.items() if index >= self._confirmed and index not in lost
        }

    def _note_sent(self, left: dict[int, Item]) -> None:
        """Moves `_confirmed` to the first child that may not be with the broker."""
        if self._sent is None:
            self._confirmed = min(left, default=max(self._confirmed, self._given))
            return
        for index in left:
            self._sent[index // 8] &= ~(1 << index % 8)
        while (
            self._confirmed < (self._opened or 0)
            and self._sent[self._confirmed // 8] >> self._confirmed % 8 & 1
        ):
            self._confirmed += 1
