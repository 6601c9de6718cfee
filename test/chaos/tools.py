"""Gives handlers their tools, and records an attempt in the ledger."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chaos.effects import Effects
from chaos.ledger import Ledger
from chaos.points import Point, Trap
from chaos.workload import Work
from mousetrap.handlers import Context


@dataclass(frozen=True, slots=True)
class Tools:
    """What the handlers of one process share."""

    ledger: Ledger
    effects: Effects
    #: Who works here, in a worker or in a child of one.
    worker: str
    #: None in a child: the points are the worker's.
    trap: Trap | None = None
    #: When this process asked for the claim on a job, by job and fence.
    asked: dict[tuple[str, int], float] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, **more: object) -> "Tools":
        """Those of a process that works in `folder`."""
        named = {"worker": f"child-{os.getpid()}", **more}
        return cls(Ledger(folder / "ledger.jsonl"), Effects(folder / "effects.db"), **named)  # type: ignore[arg-type]

    def passing(self, point: Point) -> None:
        if self.trap is not None:
            self.trap.passing(point)


@asynccontextmanager
async def these(tools: Tools) -> AsyncIterator[Tools]:
    """A lifespan of a worker's own handlers."""
    yield tools


@asynccontextmanager
async def in_a_child(folder: Path) -> AsyncIterator[Tools]:
    """The lifespan of isolated handlers."""
    yield Tools.of(folder)


@contextmanager
def attempt(work: Work, context: Context[Tools]) -> Iterator[None]:
    """An attempt that stands in the ledger from its begin to its end, and has its effect."""
    tools = context.deps
    asked = tools.asked.pop((context.job_id, context.fence), 0.0)

    def note(what: str, after: float | None = None) -> None:
        tools.ledger.note(
            what,
            run=context.run_id,
            kind=work.kind,
            stage=context.stage,
            job=context.job_id,
            attempt=context.attempt,
            fence=context.fence,
            worker=tools.worker,
            asked=asked,
            after=after,
            key=work.key,
            lock_fence=context.lock_fence,
        )

    note("begun")
    tools.passing(Point.HANDLER_BEGUN)
    try:
        place = f"{context.stage} {work.index}" if work.index >= 0 else context.stage
        tools.effects.write(context.idempotency_key, context.run_id, place)
        tools.passing(Point.HANDLER_MID)
        yield
    except Exception as error:
        note("failed", getattr(error, "retry_after", None))
        raise
    except asyncio.CancelledError:
        note("stopped")
        raise
    note("done")
    tools.passing(Point.HANDLER_DONE)
