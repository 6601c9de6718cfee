"""Simulates a process: its network calls, faults, pauses and death."""

import asyncio
import re
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from mousetrap.jobs import JobUndecodable, Message, decode

T = TypeVar("T")


class Fault(StrEnum):
    """A fault of a call over the network."""

    REQUEST_LOST = "the request is lost"
    REPLY_LOST = "the reply is lost"
    #: The request is executed after the caller's timeout.
    LATE = "it is executed long after the timeout"
    #: By a broker whose queue is full; a request to the store is only lost.
    REFUSED = "it is refused"
    #: The client repeated it over a new connection.
    DUPLICATED = "it is executed twice"

    def __repr__(self) -> str:
        return f"Fault.{self.name}"  # as it is written in a test


#: The caller's timeout for a fault, and the error that the caller then raises.
OnFault = Callable[[Fault], tuple[float, Exception]]


@dataclass(slots=True)
class CrashPoint:
    """Ends a process before or after one of its next calls: of those whose text `at` finds, where it is given."""

    calls: int
    happened: bool
    at: re.Pattern[str] | None = None


class EventLog:
    """The readable log of a simulation."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.lines: list[str] = []
        self._loop = loop

    def record(self, who: str, what: str) -> None:
        self.lines.append(f"{self._loop.time():10.3f}  {who:<7} {what}")


class Process:
    """A process. After its death, requests that it had sent may still be executed."""

    def __init__(
        self, name: str, loop: asyncio.AbstractEventLoop, event_log: EventLog, latency: float
    ) -> None:
        self.name = name
        self.alive = True
        #: The time of its last resume after a pause.
        self.resumed_at = -1.0
        self.crash_point: CrashPoint | None = None
        self.faults: dict[str, deque[Fault]] = {"publish": deque(), "store": deque()}
        self.died: list[Callable[[], None]] = []
        self.asked: Counter[str] = Counter()
        self._loop = loop
        self._event_log = event_log
        self._latency = latency
        self._running = asyncio.Event()
        self._running.set()
        self._held: list[Callable[[], None]] = []
        self._over = False

    @property
    def paused(self) -> bool:
        return not self._running.is_set()

    def note(self, what: str) -> None:
        """Adds a line to the event log."""
        if not self._over:
            self._event_log.record(self.name, what)

    @staticmethod
    def name_of(message: Message) -> str:
        """A readable name of a message."""
        try:
            job = decode(message.body)
        except JobUndecodable:
            return f"message {message.id}"
        return f"{job.run_id}.{job.stage}#{job.attempt}" + (
            f" generation {job.generation}" if job.generation else ""
        )

    # What happens to it

    def die(self, how: str) -> None:
        """Ends the process at once."""
        if self.alive:
            self.note(how)
            self.alive = False
            for callback in self.died:
                callback()

    def pause(self) -> None:
        self.note("is paused")
        self._running.clear()

    def resume(self) -> None:
        """Continues: delayed calls and received messages are handled now."""
        if self.alive:
            self.note("resumes")
        self.resumed_at = self._loop.time()
        self._running.set()
        held, self._held = self._held, []
        for act in held:
            self._loop.call_soon(self._when_alive(act))

    def end(self) -> None:
        """Ends the simulation of this process: nothing happens any more, and no call waits for a reply."""
        self._over, self.alive = True, False
        self._running.set()

    # What it does

    async def ask(self, kind: str, what: str, act: Callable[[], T], on_fault: OnFault) -> T:
        """Calls `act` at the server and returns its reply; or after a timeout raises the error of a fault, both from `on_fault`.

        If `what` begins with a dash, `act` adds its own line to the event log.
        """
        await self.may_act()
        if self._over:
            raise on_fault(Fault.REQUEST_LOST)[1]
        self.asked[kind] += 1
        fault = self.faults[kind].popleft() if self.faults.get(kind) else None
        crash_point = self._reached_crash_point(what)
        if crash_point is not None and not crash_point.happened:
            self.die(f"dies before it {what.lstrip('-')}")
            await self._never()
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._send_request(fault, what, act, on_fault, answer)
        if crash_point is not None:
            self.die(f"dies right after it {what.lstrip('-')}")
        try:
            result: T = await answer
        finally:
            answer.cancel()
        await self.may_act()
        return result

    def send(self, what: str, act: Callable[[], None]) -> None:
        """Sends a frame that has no reply."""
        if self.paused:
            self._held.append(lambda: self.send(what, act))
            return
        if not self.alive:
            return
        crash_point = self._reached_crash_point(what)
        if crash_point is not None and not crash_point.happened:
            self.die(f"dies before it {what}")
            return
        self.note(what)
        self._loop.call_later(self._latency, act)
        if crash_point is not None:
            self.die(f"dies right after it {what}")

    def receive(self, act: Callable[[], None]) -> None:
        """Handles an incoming frame after the latency."""
        self._loop.call_later(self._latency, self._when_alive(act))

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Calls `act` after a delay, if the process is alive."""
        self._loop.call_later(seconds, self._when_alive(act))

    async def point(self, what: str) -> None:
        """A point in a handler where the process can be paused or killed."""
        await self.may_act()
        if self._over:
            return
        if self._reached_crash_point(what) is not None:
            self.die(f"dies when it {what}")
            await self._never()
        self.note(what)

    def _send_request(
        self,
        fault: Fault | None,
        what: str,
        act: Callable[[], Any],
        on_fault: OnFault,
        answer: "asyncio.Future[Any]",
    ) -> None:
        timeout, error = on_fault(fault or Fault.REQUEST_LOST)
        if fault is not None and fault is not Fault.DUPLICATED:
            self._loop.call_later(timeout, _fail, answer, error)
        if fault is Fault.REQUEST_LOST or fault is Fault.REFUSED:
            self.note(f"{what.lstrip('-')}: {fault.value}")
            return
        text = f"{what.lstrip('-')}: {fault.value}" if fault else what
        late = timeout + 3.0 if fault is Fault.LATE else 0.0
        replies = fault is None or fault is Fault.DUPLICATED
        happen = self._happen(text, act, answer if replies else None)
        self._loop.call_later(late + self._latency, happen)
        if fault is Fault.DUPLICATED:
            self._loop.call_later(self._latency * 1.5, self._happen(text, act, None))

    def _happen(
        self, what: str, act: Callable[[], Any], answer: "asyncio.Future[Any] | None"
    ) -> Callable[[], None]:
        def happen() -> None:
            if self._over:
                return
            try:
                result = act()
            except Exception as error:  # noqa: BLE001  any error of the server
                self.note(f"{what.lstrip('-')}: {error}")
                if answer is not None:
                    self._loop.call_later(self._latency, _fail, answer, error)
                return
            if not what.startswith("-"):
                self.note(what)
            if answer is not None:
                self._loop.call_later(self._latency, _give, answer, result)

        return happen

    def _reached_crash_point(self, what: str) -> CrashPoint | None:
        """The crash point, if this call is the one to crash at."""
        if self.crash_point is None or (self.crash_point.at and not self.crash_point.at.search(what)):
            return None
        self.crash_point.calls -= 1
        if self.crash_point.calls > 0:
            return None
        crash_point, self.crash_point = self.crash_point, None
        return crash_point

    def _when_alive(self, act: Callable[[], None]) -> Callable[[], None]:
        def happen() -> None:
            if self.paused:
                self._held.append(act)
            elif self.alive:
                act()

        return happen

    async def may_act(self) -> None:
        """Waits while the process is paused, without end if it is dead."""
        await self._running.wait()
        if not self.alive and not self._over:
            await self._never()

    async def _never(self) -> None:
        await self._loop.create_future()


def _give(answer: "asyncio.Future[Any]", result: Any) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: "asyncio.Future[Any]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
