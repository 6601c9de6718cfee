"""Binds the handlers of a fan-out, and keeps their items."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from mousetrap.handlers import AttemptInfo, AttemptOver, Binding, FanRefused, HandlerHost
from mousetrap.jobs import Job, first_job
from mousetrap.pipeline import All, Each, Gathered, Many, MemoryPages, Payload, Pipeline, Stage
from mousetrap.shapes import Progress

LIST = Stage(name="list", queue="list", input=int, output=Many[int])
READ = Stage(name="read", queue="read", input=int, output=int, after=Each("list"))
SUM = Stage(name="sum", queue="sum", input=Gathered[int], output=list[int], after=All("read"))
JOB = first_job(run_id="r", pipeline="papers", stage="list", payload=b"3", accepted_ms=1)


@dataclass
class Kept:
    """The items that an attempt gave, and what becomes of the next ones."""

    items: list[tuple[Payload, str | None]] = field(default_factory=list)
    closed: int = 0
    #: Raised for the item that comes after so many.
    refused: BaseException | None = None
    after: int = 0
    #: What the fourth item waits for.
    gate: asyncio.Event | None = None

    async def open_gate(self, run_id: str, progress: Progress) -> None:
        """As a host's `report`: a handler that reports progress opens the gate."""
        if self.gate is not None:
            self.gate.set()

    def children(self, attempt: AttemptInfo) -> "Kept":
        assert attempt.stage == "list"
        self.items.clear()
        return self

    async def add(self, item: Payload, key: str | None) -> None:
        if self.gate is not None and len(self.items) == 3:
            await self.gate.wait()
        if self.refused is not None and len(self.items) == self.after:
            raise self.refused
        self.items.append((item, key))

    async def close(self) -> int:
        self.closed += 1
        return len(self.items)

    @property
    def values(self) -> list[Any]:
        return [msgspec.json.decode(item.raw) for item, _ in self.items]


def with_fans(host: HandlerHost, kept: Kept) -> HandlerHost:
    """The host, which keeps items, and has 300 outputs of the job "j"."""
    outputs = [(index, b"%d" % index) for index in range(300)]
    pages = {("r", "j"): MemoryPages(outputs)}
    report = kept.open_gate
    return replace(
        host, report=report, children=kept.children, gathered=lambda run_id, job: pages.get((run_id, job))
    )


def list_binding(
    handler: Callable[..., Any], read: Stage = READ, soft_timeout: float | None = None, **more: Any
) -> Binding:
    """The handler of a fan-out, whose items `read` takes."""
    listing = replace(LIST, soft_timeout=soft_timeout)
    pipeline = Pipeline(name="papers", description="Reads papers.", stages=(listing, read, SUM))
    return Binding(pipeline=pipeline, stage="list", handler=handler, **more)


def sum_binding(handler: Callable[..., Any], **more: Any) -> Binding:
    """The handler of the join."""
    pipeline = Pipeline(name="papers", description="Reads papers.", stages=(LIST, READ, SUM))
    return Binding(pipeline=pipeline, stage="sum", handler=handler, **more)


def join_job(fan: str = "j") -> Job:
    """The job of the join of 300 children."""
    payload = msgspec.Raw(msgspec.json.encode({"total": 300, "done": 300, "lost": 0, "fan": fan}))
    return msgspec.structs.replace(JOB, stage="sum", payload=payload)


TOO_WIDE = FanRefused("fan-too-wide", "it has more than 2 items")
OVER = AttemptOver()
