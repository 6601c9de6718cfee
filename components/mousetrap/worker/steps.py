"""Steps async handlers in place, in a task that they share."""

import asyncio
import logging
import sys
import time
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from mousetrap.handlers import AsyncCall, AsyncHandler, Suspended
from mousetrap.jobs import Outcome
from mousetrap.run_store import Granted
from mousetrap.telemetry import Observer
from mousetrap.worker.attempts import Attempt
from mousetrap.worker.suspects import SuspectGate

if TYPE_CHECKING:
    from mousetrap.tracing import Tracer

_log = logging.getLogger("mousetrap.worker")

#: Seconds after which the event loop gets its turn, however many handlers wait.
_SLICE_S = 0.005


class Steps:
    """Runs the handlers of granted attempts, one after another in one task, as far as they go without waiting.

    1. `add` puts an attempt in line; `start` starts a task that steps those in line.
    2. A handler that ends at once has its outcome: `ended` gets it, and the same task steps the next.
    3. A handler that waits for something keeps the task for itself: `alone` gets the attempt, and another task steps the rest.
       So is a task left to its handler when that has cancelled it, or has kept it and can cancel it later.
    4. While a suspect waits or runs, none is stepped: `alone` gets them all.
    """

    def __init__(
        self,
        ended: Callable[[Attempt, Outcome], None],
        alone: Callable[[Attempt], None],
        gate: SuspectGate,
        observer: Observer,
        tracer: "Tracer | None" = None,
    ) -> None:
        self._tracer = tracer
        self._ended = ended
        self._alone = alone
        self._gate = gate
        self._observer = observer
        self._line: deque[Attempt] = deque()
        self._task: asyncio.Task[Any] | None = None
        #: What each handler's own copy is made of; a task's own could be one that a handler has changed.
        self._variables = copy_context()

    def add(self, attempt: Attempt) -> None:
        """Puts a granted attempt with an async handler in line."""
        self._line.append(attempt)

    def start(self) -> None:
        """Has those in line stepped, from the next turn of the event loop on."""
        if self._line and self._task is None:
            self._task = asyncio.get_running_loop().create_task(
                self._step_line(), name="handler", context=self._variables.copy()
            )
            self._task.add_done_callback(self._left)

    def _left(self, task: "asyncio.Task[Any]") -> None:
        """Code that is not ours can have ended the task, even before it began."""
        if self._task is task:
            self._task = None
            self.start()

    async def _step_line(self) -> Any:
        task, now_s = self._task, time.monotonic()
        assert task is not None
        until = now_s + _SLICE_S
        references = sys.getrefcount(task)
        while self._line:
            attempt = self._line.popleft()
            try:
                waiting = self._step(attempt, task, now_s)
            except Exception:  # noqa: BLE001  it must not cost those in line
                # A defect of ours: alone it shows again, and the message comes back.
                _log.exception("could not step a handler of stage %s", attempt.job.stage)
                self._alone(attempt)
                break
            if waiting is not None:
                self._next()
                return await waiting[0].go_on(waiting[1])
            now_s = time.monotonic()
            if task.cancelling() or sys.getrefcount(task) > references or now_s > until:
                break
        self._next()
        return None

    def _next(self) -> None:
        self._task = None
        self.start()

    def _step(
        self, attempt: Attempt, task: "asyncio.Task[Any]", now_s: float
    ) -> tuple[AsyncCall, Suspended] | None:
        job, handler, claim = attempt.job, attempt.handler, attempt.claim
        if attempt.alone:
            return None  # handed back meanwhile
        if self._gate.suspects:
            self._alone(attempt)
            return None
        assert isinstance(handler, AsyncHandler)
        assert isinstance(claim, Granted)
        self._observer.started(job, attempt.deliveries[0].since_ms, now_s)
        fences = (claim.fence, claim.lock_fence)
        call = handler.call(job, fences) if self._tracer is None else self._traced_call(attempt, fences)
        if isinstance(call, AsyncCall):
            step = call.step(task)
            if type(step) is Suspended:
                self._gate.running += 1
                attempt.suspended, attempt.handler_began = (call, task), now_s
                self._alone(attempt)
                return call, step
            outcome = handler.ended_at_once(call, step)
        else:
            outcome = call
        if attempt.span is not None:
            attempt.span.handler_ended()
        self._observer.ended(job, outcome, time.monotonic() - now_s)
        self._ended(attempt, outcome)
        return None

    def _traced_call(self, attempt: Attempt, fences: tuple[int, int]) -> AsyncCall | Outcome:
        """The handler's call, which runs in the attempt's span."""
        assert self._tracer is not None and isinstance(attempt.handler, AsyncHandler)
        attempt.span = self._tracer.attempt(attempt.job, attempt.queue)
        with attempt.span.current():
            return attempt.handler.call(attempt.job, fences)
