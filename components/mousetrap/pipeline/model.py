"""Pipelines and stages, checked where they are written."""

from dataclasses import dataclass, field
from typing import Any, Literal

from mousetrap.pipeline.contract import require_json_form
from mousetrap.pipeline.lock import Lock
from mousetrap.pipeline.names import check_name
from mousetrap.pipeline.serializer import JSON, MSGPACK, Serializer
from mousetrap.retry import RetryPolicy

#: Seconds; a hundred years.
_LONGEST_S = 100 * 365 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A named step of a pipeline, bound to one durable queue.

    Raises ValueError for a name or a queue that a broker, a URL or a key could misread, for a contract whose values have
    no JSON form, for an unknown serializer, and for limits that make no sense.
    """

    name: str
    #: The queue's plain name, as `rabbitmqctl list_queues` shows it.
    queue: str
    #: The contract of the payload that the handler takes: any type that msgspec or pydantic can read from JSON.
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
    #: What the stage before writes its input with; a first stage's jobs, and edited ones, are JSON.
    serializer: Literal["json", "msgpack"] | Serializer = "json"

    def __post_init__(self) -> None:
        for what, name in (("stage", self.name), ("queue", self.queue)):
            check_name(what, name)
        for what, contract in (("input", self.input), ("output", self.output)):
            require_json_form(f"stage {self.name!r}: its {what}", contract)
        if self.lock is not None:
            check_name("lock", self.lock.name)
        if not isinstance(self.serializer, Serializer) and self.serializer not in (JSON, MSGPACK):
            raise ValueError(
                f"stage {self.name!r}: serializer is {self.serializer!r}: write 'json', 'msgpack' or Serializer(name, dumps, loads)"
            )
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
    #: Whether a worker that serves a stage and the next one goes on with the next job at once, under the message that it has:
    #: that job passes no queue, so neither its queue's length nor other workers see it. Only what fails or waits is queued.
    in_place: bool = False

    def __post_init__(self) -> None:
        check_name("pipeline", self.name)
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
