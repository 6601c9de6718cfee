"""Pipelines and stages, checked where they are written."""

import re
from dataclasses import dataclass, field
from typing import Any

from mousetrap.pipeline.lock import Lock
from mousetrap.retry import RetryPolicy

#: Seconds; a hundred years.
_LONGEST_S = 100 * 365 * 86_400.0
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A named step of a pipeline, bound to one durable queue.

    Raises ValueError for a name or a queue that a broker, a URL or a key could misread, and for limits that make no sense.
    """

    name: str
    #: The queue's plain name, as `rabbitmqctl list_queues` shows it.
    queue: str
    #: The contract of the payload that the handler takes: any type msgspec can read from JSON.
    input: Any
    #: The contract of the value that the handler gives.
    output: Any
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    #: Seconds that one attempt may take; then it has failed: an async handler is cancelled, an isolated one killed.
    timeout: float | None = None
    #: Seconds after which the handler is asked to end by itself: SoftTimeout is raised in an async or isolated
    #: one, and every one can see it in its context.
    soft_timeout: float | None = None
    #: What its jobs hold while they run.
    lock: Lock | None = None

    def __post_init__(self) -> None:
        for what, name in (("stage", self.name), ("queue", self.queue)):
            _check_name(what, name)
        if self.lock is not None:
            _check_name("lock", self.lock.name)
        soft = 1e-9 if self.soft_timeout is None else self.soft_timeout
        if not 0 < soft <= (float("inf") if self.timeout is None else self.timeout):
            raise ValueError(
                f"stage {self.name!r}: soft_timeout is {self.soft_timeout} s and timeout {self.timeout} s: "
                "need 0 < soft_timeout <= timeout"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A named chain of stages: each stage's output is the next one's input, the last one's is the run's result.

    Raises ValueError when two stages share a name or a queue, or when neighbours' contracts differ.
    """

    name: str
    #: One sentence for readers.
    description: str
    stages: tuple[Stage, ...]
    #: Seconds after which a run's jobs are not begun any more, unless its submitter sets another time; None for never.
    expires_after: float | None = None

    def __post_init__(self) -> None:
        _check_name("pipeline", self.name)
        if not self.stages:
            raise ValueError(f"pipeline {self.name!r} has no stages: give it at least one")
        if self.expires_after is not None and not 0 < self.expires_after < _LONGEST_S:
            raise ValueError(
                f"pipeline {self.name!r}: expires_after is {self.expires_after} s: need more than 0 and less than a hundred years"
            )
        for attribute in ("name", "queue"):
            values = [getattr(stage, attribute) for stage in self.stages]
            if len(set(values)) != len(values):
                raise ValueError(f"pipeline {self.name!r} uses a {attribute} twice: {values}")
        for stage, following in zip(self.stages, self.stages[1:], strict=False):
            if stage.output != following.input:
                raise ValueError(
                    f"pipeline {self.name!r}: stage {stage.name!r} gives {stage.output}, "
                    f"but {following.name!r} takes {following.input}: make them the same contract"
                )

    @property
    def first(self) -> Stage:
        """The stage that a run starts with."""
        return self.stages[0]

    def stage(self, name: str) -> Stage | None:
        """The stage of that name, if there is one."""
        return next((stage for stage in self.stages if stage.name == name), None)

    def after(self, stage: Stage) -> Stage | None:
        """The stage that takes what `stage` gives; None after the last."""
        following = self.stages.index(stage) + 1
        return self.stages[following] if following < len(self.stages) else None


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{what} name {name!r}: use a-z, 0-9, _ and -, a letter first, at most 63 characters"
        )
