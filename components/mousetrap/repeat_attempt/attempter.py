"""Calls a bound handler as a worker does, without queue and store."""

import asyncio
from dataclasses import dataclass
from typing import Any, NoReturn

from mousetrap.handlers import (
    AttemptFailed,
    Binding,
    BoundHandler,
    HandlerHost,
    HungHandlers,
    bound,
    output_of,
)
from mousetrap.jobs import Done, Job, Outcome
from mousetrap.pipeline import Keyed, read_payload
from mousetrap.repeat_attempt.memory_fans import MemoryFans
from mousetrap.repeat_attempt.threads import Threads
from mousetrap.shapes import Progress

#: Stands for "enter the lifespan of the binding", since None is a value that `deps` can have.
FROM_LIFESPAN: Any = object()


@dataclass(frozen=True, slots=True)
class Ended:
    """The outcome of an attempt, and the error that the handler raised, if it did."""

    outcome: Outcome
    error: BaseException | None = None

    def fail(self) -> NoReturn:
        """Raises the handler's error, or AttemptFailed where it raised none in this process."""
        assert not isinstance(self.outcome, Done), "it is done"
        raise self.error or AttemptFailed(self.outcome.failure)


class Attempter:
    """What handlers need of a worker; `chance` in [0, 1] replaces the jitter of pauses."""

    def __init__(self, worker: str, chance: float = 1.0) -> None:
        self._errors: list[BaseException] = []
        self.fans = MemoryFans()
        self.host = HandlerHost(
            worker=worker,
            threads=Threads(),
            hung=HungHandlers(),
            report=_drop,
            children=self.fans.children,
            gathered=self.fans.pages,
            chance=lambda: chance,
            raised=self._errors.append,
        )

    def bound(self, binding: Binding, deps: Any) -> BoundHandler:
        """The binding's handler, as a worker has it; an isolated one runs in this process."""
        return bound(binding, deps, self.host)

    async def attempt(self, handler: BoundHandler, job: Job) -> Ended:
        """Makes one attempt."""
        self._errors.clear()
        outcome = await handler.run(job, fence=1, lock_fence=1 if handler.stage.lock else 0)
        failed = not isinstance(outcome, Done) and self._errors
        return Ended(outcome, self._errors.pop() if failed else None)

    def value_of(self, done: Done, binding: Binding, job: Job) -> Any:
        """The value that the attempt at `job` gave: of a fan-out its items, as their taker reads them, Keyed where they have keys."""
        if not binding.gives_items:
            return output_of(done, binding.pipeline, binding.stage)
        (taker,) = binding.pipeline.followers(binding.stage)
        values = [(read_payload(item, taker), key) for item, key in self.fans.items(job.id)]
        return [value if key is None else Keyed(key, value) for value, key in values]


def loop_runs() -> bool:
    """Whether an event loop runs in this thread, as in an async test or a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _drop(run_id: str, progress: Progress) -> None:
    """Keeps no progress: there is no run that could have it."""
