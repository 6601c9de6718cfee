"""Waits for the ends of runs, without asking for each."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from mousetrap.jobs import StoreUnreachable
from mousetrap.run_store.connection import StoreConnection
from mousetrap.run_store.decode_run import StoredRun
from mousetrap.run_store.notifications import Watcher
from mousetrap.run_store.transitions import Look
from mousetrap.shapes import ENDS

#: For the first subscription of a process; as long as any reply of the store may take.
_SUBSCRIBE_S = 2.0
#: After a look that failed.
_AGAIN_S = 1.0
#: As long as an outage is waited out.
_OUTAGE_S = 60.0

Found = TypeVar("Found")


class Outage:
    """How long the store has been away, by the times that it is given."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._since_s: float | None = None

    def over(self) -> None:
        """The store answered."""
        self._since_s = None

    def check(self, now_s: float, error: StoreUnreachable) -> None:
        """The store is away at `now_s`. Raises the error once it has been for longer than is waited out."""
        self._since_s = now_s if self._since_s is None else self._since_s
        if now_s - self._since_s >= self._longest_s:
            raise error


class Endings(StoreConnection):
    """What a caller who waits for a run does: look once, then nothing until the store notifies of its end."""

    async def wait_ended(
        self,
        run_id: str,
        timeout: float,  # noqa: ASYNC109  None, no error
        outage: float = _OUTAGE_S,
    ) -> StoredRun | None:
        """The run once it has ended; None when it has not within `timeout` seconds (`math.inf` for no limit), or is unknown.

        It costs a look at the start, in one round trip with others, and a read at the end. Raises StoreUnreachable where the
        store is away at the start, or later for `outage` seconds; a shorter outage is waited out.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        async with self._ends.of(run_id) as watcher:
            await self._ends.subscribed_within(min(timeout, _SUBSCRIBE_S))
            watcher.look()
            state = await self._state(run_id)
            if state in ENDS:
                return await self.get(run_id)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(None if math.isinf(timeout) else deadline):
                    return await self._until_ended(run_id, watcher, Outage(outage)) if state else None
        return None

    async def _until_ended(self, run_id: str, watcher: Watcher, outage: Outage) -> StoredRun | None:
        while True:
            await watcher.news()
            if watcher.look() or await self._may_have_ended(run_id, outage):
                run = await _through_outage(self.get, run_id, outage)
                # An earlier version notifies of every change as if it were the end.
                if run is None or run.state.ended:
                    return run

    async def _may_have_ended(self, run_id: str, outage: Outage) -> bool:
        """A look, which a new subscription asks for; while there is none, it would be in vain."""
        if not self._ends.subscribed:  # each try to subscribe that fails ends here
            why = f"nothing is notified: {self._ends.loss}"
            outage.check(_now_s(), StoreUnreachable(f"cannot reach the store at {self._address}: {why}"))
            return False
        return await _through_outage(self._state, run_id, outage) in (*ENDS, "")

    async def _state(self, run_id: str) -> str:
        return await self._packed_runs.look(run_id) or await self._look_at_older(run_id)

    async def _look_at_older(self, run_id: str) -> str:
        (state,) = await self._batches.call(Look(run_id))
        return str(state)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


async def _through_outage(ask: Callable[[str], Awaitable[Found]], run_id: str, outage: Outage) -> Found:
    """The reply, unless the outage is too long."""
    while True:
        try:
            found = await ask(run_id)
        except StoreUnreachable as error:
            outage.check(_now_s(), error)
            await asyncio.sleep(_AGAIN_S)
        else:
            outage.over()
            return found
