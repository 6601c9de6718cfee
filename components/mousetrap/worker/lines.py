"""Begins jobs that wait for a limit once there is room."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any

from mousetrap.handlers import BoundHandler
from mousetrap.jobs import JobUndecodable, Message, MousetrapError, decode, signed_message
from mousetrap.run_store import Granted, RunStore
from mousetrap.shutdown import end_tasks
from mousetrap.signing import SignatureRefused
from mousetrap.worker.attempts import Attempt, Attempts
from mousetrap.worker.endings import StandInLine
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.outages import Outages
from mousetrap.worker.pauses import Pauses
from mousetrap.worker.settle import Settler
from mousetrap.worker.woken import Woken

_log = logging.getLogger("mousetrap.worker")

#: Between two looks at most: who died lets its places lapse, and nothing announces that. And at least, however fast a rate is.
_LOOK_S, _PAUSE_S = 1.0, 0.02


class Lines:
    """The lines of a worker's stages with a limit.

    1. A job over a limit has its place from its claim on. `stand` publishes a message that comes again much later, gives the line another
       one, and settles the delivery: the job takes no place of a worker. Nothing of it is in the store alone.
    2. When an attempt ends here, when a rate has room again, and each second, `follow` takes who is next out of the lines of stages that are
       not paused, as many as this worker has free places for. They begin at once, without a way through the queue.
       Where messages of the queues have all places, the next one that is free is kept until the lines were asked.
    3. A worker that dies has its jobs go back to their places when its leases end. The message that comes again heals all else: it is claimed
       as any other, and dropped where the job is done.
    """

    def __init__(
        self, store: RunStore, attempts: Attempts, settler: Settler, outages: Outages, options: WorkerOptions
    ) -> None:
        self._store = store
        self._attempts = attempts
        self._settler = settler
        self._outages = outages
        self._options = options
        self._queues: Mapping[str, str] = {}
        self._asked = asyncio.Event()
        #: Stages of which more may be in line than there were free places for.
        self._hungry: set[str] = set()
        #: Whether a free place is kept for who is in line.
        self._keeps_one = False
        self._rounds = 0
        self._is_leaving = False
        self._doing: set[asyncio.Task[None]] = set()
        self._begin: Callable[[Sequence[Woken]], None] = lambda _: None
        self._backlog: Callable[[], Sequence[object]] = tuple

    def serve(
        self,
        handlers: Sequence[BoundHandler],
        begin: Callable[[Sequence[Woken]], None],
        backlog: Callable[[], Sequence[object]],
    ) -> None:
        """Takes for these stages; `begin` has jobs begin before all that wait in this worker, of which `backlog` has the deliveries."""
        self._queues = {place_of(each): each.stage.queue for each in handlers if each.stage.limit is not None}
        self._begin, self._backlog = begin, backlog
        if self._queues:
            self._attempts.on_end, self._attempts.on_free = self._ended, self._freed

    async def follow(self, pauses: Pauses) -> None:
        """Looks again and again, until it is cancelled; at once where no stage has a limit."""
        while self._queues:
            pause_s = _LOOK_S
            for place in self._in_turn():
                if self._queues[place] in pauses:
                    self._hungry.discard(place)
                else:
                    pause_s = min(pause_s, await self._look_safely(place))
            self._keep_none()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(_PAUSE_S, pause_s)):
                    await self._asked.wait()
            self._asked.clear()

    async def waiting(self, queues: Sequence[str]) -> int:
        """How many stand in lines of these queues' stages."""
        places = [place for place, queue in self._queues.items() if queue in queues]
        if not places:
            return 0
        act = "count who waits for a limit"
        counts = await self._outages.retry_until_up(act, self._store.waiting_for_limits, places)
        return sum(counts.values())

    def stand_soon(self, attempt: Attempt, ending: StandInLine, failed: Callable[[Attempt], None]) -> None:
        """Has the job wait in its line while others begin; `failed` gets an attempt that has to be settled otherwise."""
        self._attempts.hold(attempt, False)
        self._do(self._stand_beside(attempt, ending, failed))

    async def stand(self, attempt: Attempt, ending: StandInLine) -> None:
        """Has the job wait in its line, and settles its deliveries."""
        await self._keep(attempt, ending)
        self._settler.acknowledge(attempt.deliveries)

    async def _keep(self, attempt: Attempt, ending: StandInLine) -> None:
        await self._settler.send(ending, attempt.deliveries[0])
        if ending.in_line:
            job = ending.job
            message = signed_message(job, self._options.keyring)
            act = "give lines their messages"
            await self._outages.retry_until_up(act, self._store.keep_place, job, ending.place, message)

    async def close(self) -> None:
        """Ends what is under way: a delivery that is not settled comes again."""
        self._is_leaving = True
        await end_tasks(*self._doing)

    def leave(self) -> None:
        """Takes nothing any more."""
        self._is_leaving = True

    async def _stand_beside(
        self, attempt: Attempt, ending: StandInLine, failed: Callable[[Attempt], None]
    ) -> None:
        try:
            await self._keep(attempt, ending)
        except BaseException as error:
            if attempt.alone:
                return  # handed back meanwhile
            attempt.ending = ending
            failed(attempt)
            if not isinstance(error, Exception):
                raise
            _log.exception("a job of stage %s goes to its line alone", attempt.job.stage)
        else:
            if not attempt.alone:
                self._settler.acknowledge(attempt.deliveries)
                self._attempts.end(attempt)

    def _in_turn(self) -> Sequence[str]:
        """The stages: another one first each time, as the first may have the only place."""
        self._rounds += 1
        first, places = self._rounds % len(self._queues), list(self._queues)
        return [*places[first:], *places[:first]]

    async def _look_safely(self, place: str) -> float:
        try:
            return await self._look(place)
        except MousetrapError:  # what runs and what beats logs it
            pass
        except Exception:  # noqa: BLE001  no other task of this worker takes from its lines
            _log.exception("could not take from the lines of %s; it is tried again", place)
        return _LOOK_S

    async def _look(self, place: str) -> float:
        """Begins who is next. Seconds until the next look."""
        if self._is_leaving:
            return _LOOK_S
        if not (most := self._most()):
            self._hungry.add(place)
            return _LOOK_S
        taken = await self._store.take(place, most, self._options.lease)
        (self._hungry.add if len(taken.messages) == most else self._hungry.discard)(place)
        self._keep_none()
        for member in taken.damaged:
            self._refuse(place, member, "it is no message")
        woken = [
            Woken(self._queues[place], each, self._handed_back)
            for member, each in zip(taken.members, taken.messages, strict=True)
            if self._is_ours(place, member, each)
        ]
        if self._is_leaving:
            for each in woken:
                each.hand_back()
        elif woken:
            self._begin(woken)
        return _LOOK_S if taken.next_s is None else taken.next_s

    def _most(self) -> int:
        """How many may begin."""
        woken = sum(isinstance(each, Woken) for each in self._backlog())
        return max(0, self._attempts.room - self._attempts.held + self._keeps_one - woken)

    def _is_ours(self, place: str, member: str, message: Message) -> bool:
        try:
            self._options.keyring.verify(message.body, message.headers)
            decode(message.body)
        except (SignatureRefused, JobUndecodable) as error:
            self._refuse(place, member, error)
            return False
        return True

    def _refuse(self, place: str, member: str, why: object) -> None:
        _log.warning("the store has a message in a line that is not used: %s", why)
        self._do(self._quietly(self._store.forget_message(place, member)))

    def _freed(self) -> None:
        """A place is free."""
        attempts = self._attempts
        if self._hungry and not self._keeps_one and not self._is_leaving and attempts.held < attempts.room:
            self._keeps_one = True
            attempts.held += 1
            self._asked.set()

    def _keep_none(self) -> None:
        if self._keeps_one:
            self._keeps_one = False
            self._attempts.held -= 1
            self._begin(())

    def _ended(self, attempt: Attempt) -> None:
        """An attempt has ended: its room under a limit may be another's."""
        handler = attempt.handler
        if handler is None or handler.stage.limit is None:
            return
        # Also one that went to its line: that has its message only now, and a look just before put the next one off by a second.
        self._asked.set()
        lined = isinstance(attempt.claim, Granted) and attempt.claim.lined
        if attempt.is_settled and (lined or attempt.is_woken):
            self._do(self._quietly(self._store.leave_line(attempt.job, place_of(handler))))

    def _handed_back(self, woken: Woken) -> None:
        job = decode(woken.message.body)
        self._do(self._quietly(self._store.return_to_line(job, f"{job.pipeline}.{job.stage}")))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    async def _quietly(self, call: Coroutine[Any, Any, None]) -> None:
        """Without it, what was taken goes back to its place when its time is over."""
        with suppress(MousetrapError):
            await call


def place_of(handler: BoundHandler) -> str:
    """The stage of a line, as the store has it."""
    return f"{handler.pipeline.name}.{handler.stage.name}"
