"""Sends transitions to the store's server in batches."""

import asyncio
from typing import Any

import msgspec

from mousetrap.jobs import RecordDamaged, StoreUnreachable
from mousetrap.run_store.transitions import (
    ENDED,
    CancelRun,
    Look,
    ReportProgress,
    Transition,
    Unpublished,
    YieldValue,
)
from mousetrap.store_client import Library, ReplyError, StoreClient, unreachable

#: Transitions in one call; each keeps the server busy for about 15 µs, during which all other clients wait.
_MOST = 32
#: Full calls under way beside another, each on a connection of its own: the server works at one while we write the next and
#: read the last. With none, a third of two cores was idle; sending small calls so would cost more than it gains.
_BESIDE = 3
#: How long a note waits for a call to go with.
_NOTE_DELAY_S = 1.0

_FILES = ("keys", "clock", "runs", "locks", "repair", "starts", "claims", "decisions", "library")
LIBRARY = Library.read("mousetrap", "mousetrap.run_store", [f"lua/{name}.lua" for name in _FILES])

#: The first member of a reply that is an error.
_ERRORS = ("damaged", "error")

#: A transition as it is sent: its name and its arguments.
Call = Transition | tuple[str, ...]
_Waiting = tuple[Call, "asyncio.Future[list[Any]]"]


class Batches:
    """Gathers the transitions of one tick of the event loop into as few calls as keep the server busy.

    1. `call` puts a transition into the waiting list and starts a task that sends it.
    2. The task sends up to 32 at a time until none waits; full batches go beside it, at most three.
    3. Each caller gets its own reply or error. A batch that cannot be encoded is sent one by one.

    Order is guaranteed only if you await the first reply before sending the second.
    """

    def __init__(self, client: StoreClient, address: str) -> None:
        self._client = client
        self._address = address
        self._waiting: list[_Waiting] = []
        self._sending: asyncio.Task[None] | None = None
        self._beside: set[asyncio.Task[None]] = set()
        self._soon: asyncio.TimerHandle | None = None

    def call(self, transition: Call) -> "asyncio.Future[list[Any]]":
        """The reply to come. It raises StoreUnreachable, after which the transition may have happened or not, and RecordDamaged."""
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((transition, future))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_all())
        elif len(self._waiting) >= _MOST and len(self._beside) < _BESIDE:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            beside = asyncio.create_task(self._send(batch))
            self._beside.add(beside)
            beside.add_done_callback(self._beside.discard)
        return future

    def note(self, transition: Call) -> None:
        """Sends a transition whose reply is not awaited: with the next one, or alone after a second."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any]] = loop.create_future()
        future.add_done_callback(_ignore_error)
        self._waiting.append((transition, future))
        if self._sending is None and self._soon is None:
            self._soon = loop.call_later(_NOTE_DELAY_S, self._send_notes)

    async def close(self) -> None:
        """Sends the remaining notes and waits for all replies."""
        self._send_notes()
        if under_way := {*self._beside, *filter(None, [self._sending])}:
            await asyncio.wait(under_way)

    def _send_notes(self) -> None:
        if self._waiting and self._sending is None:
            self._sending = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                await self._send(batch)
        finally:
            self._sending = None

    async def _send(self, batch: list[_Waiting]) -> None:
        try:
            blob = msgspec.msgpack.encode([transition for transition, _ in batch])
            reply = await LIBRARY.call(self._client.call, blob)
            try:
                replies: list[list[Any]] = msgspec.msgpack.decode(reply)
            except (
                UnicodeDecodeError
            ):  # the reply that is no text fails alone, not the batch that it came with
                replies = [_one(each) for each in msgspec.msgpack.decode(reply, type=list[msgspec.Raw])]
        except Exception as error:  # noqa: BLE001  without a reply or an error, a caller would wait without end
            await self._fail_batch(batch, error)
            return
        for (_, future), each in zip(batch, replies, strict=True):
            if each[0] in _ERRORS:
                _fail(future, self._error(*each))
            elif not future.done():
                future.set_result(each)

    async def _fail_batch(self, batch: list[_Waiting], error: Exception) -> None:
        if isinstance(error, ReplyError | OSError):
            for _, future in batch:
                _fail(future, unreachable(self._address, error))
        elif len(batch) == 1:
            _fail(batch[0][1], error)
        else:  # a number too large to be sent, an unforeseen reply: each alone, so that the others get their replies
            for waiting in batch:
                await self._send([waiting])

    def _error(self, kind: str, text: str) -> Exception:
        if kind == "damaged":
            return RecordDamaged(f"what the store keeps of the job is damaged: {text}")
        return unreachable(self._address, text)


class NothingOlder(Batches):
    """Stands for the older family where there is none of it: in a cluster, for its keys have no hash tag."""

    def call(self, transition: Call) -> "asyncio.Future[list[Any]]":
        if transition == (ENDED,):  # whether the server accepts transitions
            return super().call(transition)
        return asyncio.ensure_future(self._answer(transition))

    def note(self, transition: Call) -> None:
        """Nothing: there is no run that the note could be about."""

    async def _answer(self, transition: Call) -> list[Any]:
        if isinstance(transition, Unpublished):
            return ["unpublished", 0]
        for kind, answer in _OF_NO_RUN.items():
            if isinstance(transition, kind):
                return [answer]
        if isinstance(transition, tuple):
            return [ENDED]
        raise StoreUnreachable(
            f"cannot use the store at {self._address}: runs before wire format 5 are not kept in a cluster"
        )


#: What the older family answers for a run that it does not know.
_OF_NO_RUN: dict[type[Transition], str] = {
    Look: "",
    CancelRun: "unknown",
    ReportProgress: "recorded",
    YieldValue: "over",
}


def _one(reply: msgspec.Raw) -> list[Any]:
    try:
        decoded: list[Any] = msgspec.msgpack.decode(reply)
    except UnicodeDecodeError as error:
        return ["damaged", f"it is no text: {error}"]
    return decoded


def _ignore_error(future: "asyncio.Future[list[Any]]") -> None:
    """Retrieves the error of a note, so that it is not logged as never retrieved."""
    if not future.cancelled():
        future.exception()


def _fail(future: "asyncio.Future[list[Any]]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
