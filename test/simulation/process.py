"""A process of the simulation: everything that it does to the outside goes through here, and can go wrong here."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from mousetrap.jobs import JobUndecodable, Message, decode
from simulation.clock import SimulatedLoop

T = TypeVar("T")


class Lost(StrEnum):
    """What can become of a question that somebody asks over a network."""

    QUESTION = "the question is lost"
    ANSWER = "the answer is lost"
    #: The asker has given up when it happens after all.
    OVERTAKEN = "it happens long after the asker gave up"
    #: By a broker that takes no more; to the store the question is just lost.
    REFUSED = "it is refused"
    #: The client sent it again by itself, over a new connection.
    TWICE = "it happens twice"

    def __repr__(self) -> str:
        return f"Lost.{self.name}"  # as it is written in a test


#: How long the asker waits for an answer that does not come, and the error that it raises then.
Losing = Callable[[Lost], tuple[float, Exception]]


@dataclass(slots=True)
class Fuse:
    """Ends a process at one of its next calls, which then has happened or has not."""

    calls: int
    happened: bool


class Story:
    """What happened, line by line, in words that a person can follow."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.lines: list[str] = []
        self._loop = loop

    def tell(self, who: str, what: str) -> None:
        self.lines.append(f"{self._loop.time():10.3f}  {who:<7} {what}")


class Process:
    """Lives until it dies; what it asked for before that may still happen."""

    def __init__(self, name: str, loop: SimulatedLoop, story: Story, latency: float) -> None:
        self.name = name
        self.alive = True
        #: When it last went on after it had stood still.
        self.went_on = -1.0
        self.fuse: Fuse | None = None
        self.troubles: dict[str, deque[Lost]] = {"publish": deque(), "store": deque()}
        self.died: list[Callable[[], None]] = []
        self.asked: Counter[str] = Counter()
        self._loop = loop
        self._story = story
        self._latency = latency
        self._running = asyncio.Event()
        self._running.set()
        self._held: list[Callable[[], None]] = []
        self._over = False

    @property
    def paused(self) -> bool:
        return not self._running.is_set()

    def note(self, what: str) -> None:
        """Puts a line into the story."""
        if not self._over:
            self._story.tell(self.name, what)

    @staticmethod
    def name_of(message: Message) -> str:
        """What a person would call a message."""
        try:
            job = decode(message.body)
        except JobUndecodable:
            return f"message {message.id}"
        return f"{job.run_id}.{job.stage}#{job.attempt}" + (
            f" round {job.generation + 1}" if job.generation else ""
        )

    # What happens to it

    def die(self, how: str) -> None:
        """Does nothing more from here on."""
        if self.alive:
            self.note(how)
            self.alive = False
            for told in self.died:
                told()

    def pause(self) -> None:
        self.note("is stopped in its tracks")
        self._running.clear()

    def resume(self) -> None:
        """Goes on as if nothing had been: what it was about to do, and what came for it, happens now."""
        if self.alive:
            self.note("goes on")
        self.went_on = self._loop.time()
        self._running.set()
        held, self._held = self._held, []
        for act in held:
            self._loop.call_soon(self._when_alive(act))

    def end(self) -> None:
        """The simulation is over: nothing happens any more, and nobody waits for an answer."""
        self._over, self.alive = True, False
        self._running.set()

    # What it does

    async def ask(self, kind: str, what: str, act: Callable[[], T], lost: Losing) -> T:
        """What `act` gives at the other end, or the error that `lost` makes of what went wrong, after so many seconds.

        `act` may put what it did into the story itself; then `what` begins with a dash.
        """
        await self.may_act()
        if self._over:
            raise lost(Lost.QUESTION)[1]
        self.asked[kind] += 1
        trouble = self.troubles[kind].popleft() if self.troubles.get(kind) else None
        fuse = self._burn()
        if fuse is not None and not fuse.happened:
            self.die(f"dies before it {what.lstrip('-')}")
            await self._for_ever()
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._send_question(trouble, what, act, lost, answer)
        if fuse is not None:
            self.die(f"dies right after it {what.lstrip('-')}")
        try:
            result: T = await answer
        finally:
            answer.cancel()
        await self.may_act()
        return result

    def send(self, what: str, act: Callable[[], None]) -> None:
        """Something that is not answered."""
        if self.paused:
            self._held.append(lambda: self.send(what, act))
            return
        if not self.alive:
            return
        fuse = self._burn()
        if fuse is not None and not fuse.happened:
            self.die(f"dies before it {what}")
            return
        self.note(what)
        self._loop.call_later(self._latency, act)
        if fuse is not None:
            self.die(f"dies right after it {what}")

    def on_arrival(self, act: Callable[[], None]) -> None:
        """Something that comes to it by itself."""
        self._loop.call_later(self._latency, self._when_alive(act))

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Something that it does by itself after a while."""
        self._loop.call_later(seconds, self._when_alive(act))

    async def point(self, what: str) -> None:
        """A place in a handler where it can be stopped or killed."""
        await self.may_act()
        if self._over:
            return
        if self._burn() is not None:
            self.die(f"dies when it {what}")
            await self._for_ever()
        self.note(what)

    def _send_question(
        self,
        trouble: Lost | None,
        what: str,
        act: Callable[[], Any],
        lost: Losing,
        answer: "asyncio.Future[Any]",
    ) -> None:
        patience, error = lost(trouble or Lost.QUESTION)
        if trouble is not None and trouble is not Lost.TWICE:
            self._loop.call_later(patience, _fail, answer, error)
        if trouble is Lost.QUESTION or trouble is Lost.REFUSED:
            self.note(f"{what.lstrip('-')}: {trouble.value}")
            return
        told = f"{what.lstrip('-')}: {trouble.value}" if trouble else what
        late = patience + 3.0 if trouble is Lost.OVERTAKEN else 0.0
        replies = trouble is None or trouble is Lost.TWICE
        happen = self._happen(told, act, answer if replies else None)
        self._loop.call_later(late + self._latency, happen)
        if trouble is Lost.TWICE:
            self._loop.call_later(self._latency * 1.5, self._happen(told, act, None))

    def _happen(
        self, what: str, act: Callable[[], Any], answer: "asyncio.Future[Any] | None"
    ) -> Callable[[], None]:
        def happen() -> None:
            if self._over:
                return
            try:
                result = act()
            except Exception as error:  # noqa: BLE001  whatever the other end refuses with
                self.note(f"{what.lstrip('-')}: {error}")
                if answer is not None:
                    self._loop.call_later(self._latency, _fail, answer, error)
                return
            if not what.startswith("-"):
                self.note(what)
            if answer is not None:
                self._loop.call_later(self._latency, _give, answer, result)

        return happen

    def _burn(self) -> Fuse | None:
        """The fuse, when this call is the one that it has burnt down to."""
        if self.fuse is None:
            return None
        self.fuse.calls -= 1
        if self.fuse.calls > 0:
            return None
        fuse, self.fuse = self.fuse, None
        return fuse

    def _when_alive(self, act: Callable[[], None]) -> Callable[[], None]:
        def happen() -> None:
            if self.paused:
                self._held.append(act)
            elif self.alive:
                act()

        return happen

    async def may_act(self) -> None:
        """Returns once the process runs; one that is paused or dead does nothing more."""
        await self._running.wait()
        if not self.alive and not self._over:
            await self._for_ever()

    async def _for_ever(self) -> None:
        await self._loop.create_future()


def _give(answer: "asyncio.Future[Any]", result: Any) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: "asyncio.Future[Any]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
