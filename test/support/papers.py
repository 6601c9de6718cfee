"""Builds the pipelines that tests of fans run."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from mousetrap.handlers import Binding
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.retry import RetryPolicy

ONCE = RetryPolicy(attempts=1)
TWICE = RetryPolicy(attempts=2, base=0.001, cap=0.001)


def stage(
    name: str, takes: Any, gives: Any, after: Any = None, retry: RetryPolicy = ONCE, **more: Any
) -> Stage:
    """A stage on a queue of its name, whose jobs have one attempt."""
    return Stage(name=name, queue=name, input=takes, output=gives, after=after, retry=retry, **more)


def papers(stages: Sequence[Stage]) -> Pipeline:
    return Pipeline(name="papers", description="Reads papers.", stages=tuple(stages))


def bound(stages: Sequence[Stage], *handlers: Callable[..., Any]) -> list[Binding]:
    """The stages, each with its handler."""
    pipeline = papers(stages)
    return [
        Binding(pipeline=pipeline, stage=each, handler=handler)
        for each, handler in zip(stages, handlers, strict=True)
    ]


def own_papers(*stages: Stage) -> Pipeline:
    """A pipeline with a name and queues that no other test has."""
    mark = uuid4().hex[:8]
    marked = [replace(each, queue=f"{each.queue}_{mark}") for each in stages]
    return replace(papers(marked), name=f"papers_{mark}")


async def find(count: int) -> AsyncIterator[int]:
    """Gives so many numbers."""
    for number in range(count):
        yield number
