"""Asks the store for jobs and records outcomes, a turn's together."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import repeat
from typing import Any

from mousetrap.jobs import StoreUnreachable
from mousetrap.run_store import ClaimRequest, DecisionRequest, Exchanged, RunStore
from mousetrap.worker.attempts import Attempt

#: Claims, and outcomes, in one call.
_MOST = 256

#: Attempts, and what the store replied to the request of each, or the error.
Replies = tuple[Sequence[Attempt], Iterable[Any]]


class Exchange:
    """Gathers the requests of one turn of the event loop into one call.

    1. `claim` and `record` put a request into the list.
    2. `send` begins a call with all of the list, unless one is under way; then its end does. Two at once have half as much
       each, and cost broker and store more: what they grant is done and acknowledged in smaller parts.
    3. `take` gets what the store replied: the attempts whose outcome was recorded, and those that were claimed, each with its
       result or its error.
    """

    def __init__(self, store: RunStore, worker: str, take: Callable[[Replies, Replies], None]) -> None:
        self._store = store
        self._worker = worker
        self._take = take
        # Side by side: a pair for each would be an object more for the collector, four for a run of two stages.
        self._deciding: list[Attempt] = []
        self._decisions: list[DecisionRequest] = []
        self._claiming: list[Attempt] = []
        self._claims: list[ClaimRequest] = []
        self._under_way: asyncio.Task[Exchanged] | None = None
        self._is_closed = False

    def claim(self, attempt: Attempt, request: ClaimRequest) -> None:
        """Asks for the attempt's job with the next call."""
        self._claiming.append(attempt)
        self._claims.append(request)

    def record(self, attempt: Attempt, request: DecisionRequest) -> None:
        """Records the attempt's outcome with the next call."""
        self._deciding.append(attempt)
        self._decisions.append(request)

    def close(self) -> None:
        """Ends the call under way; its replies are dropped."""
        self._is_closed = True
        if self._under_way is not None:
            self._under_way.cancel()

    def send(self) -> None:
        """Begins a call, unless one is under way."""
        if self._under_way is not None or not self._waits:
            return
        deciding, self._deciding = self._deciding[:_MOST], self._deciding[_MOST:]
        decisions, self._decisions = self._decisions[:_MOST], self._decisions[_MOST:]
        claiming, self._claiming = self._claiming[:_MOST], self._claiming[_MOST:]
        claims, self._claims = self._claims[:_MOST], self._claims[_MOST:]
        call = asyncio.create_task(
            self._store.exchange(decisions, claims, worker=self._worker), name="exchange with the store"
        )
        self._under_way = call
        call.add_done_callback(partial(self._ended, deciding, claiming))

    @property
    def _waits(self) -> bool:
        return not self._is_closed and bool(self._decisions or self._claims)

    def _ended(
        self, decided: Sequence[Attempt], claimed: Sequence[Attempt], call: "asyncio.Task[Exchanged]"
    ) -> None:
        """Passes the replies on. Code that is not ours can have cancelled the call, even before it began."""
        self._under_way = None
        if self._is_closed:
            return
        self.send()  # what has waited: the store works at it while we act on these replies
        error = StoreUnreachable("the call was cancelled") if call.cancelled() else call.exception()
        results = call.result() if error is None else (repeat(error), repeat(error))
        self._take((decided, results[0]), (claimed, results[1]))
        self.send()
