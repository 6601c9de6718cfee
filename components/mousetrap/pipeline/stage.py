"""Declares a stage: its queue, contracts, limits, and what it follows."""

from dataclasses import dataclass, field
from typing import Any, Literal

from mousetrap.pipeline.after import After, check_after
from mousetrap.pipeline.contract import require_json_form, schema
from mousetrap.pipeline.json_schema import JsonSchema
from mousetrap.pipeline.limit import AtMost, Limit, Rate, limits_of
from mousetrap.pipeline.lock import Lock
from mousetrap.pipeline.many import AsyncMany, Many
from mousetrap.pipeline.names import check_name, check_names, check_seconds
from mousetrap.pipeline.serializer import JSON, MSGPACK, Serializer
from mousetrap.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class Fallback:
    """The stage that a run goes on with when a job of this one is given up; it takes a Fallen of this one's input."""

    stage: str

    def __post_init__(self) -> None:
        check_names("Fallback", (self.stage,))


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
    #: How many of them run at once, and how many begin in a time; both in a tuple. One over a limit waits for it and takes no place
    #: of a worker.
    limit: AtMost | Rate | tuple[Limit, ...] | None = None
    #: What the stage before writes its input with; a first stage's jobs, and edited ones, are JSON.
    serializer: Literal["json", "msgpack"] | Serializer = "json"
    #: The stage whose output it takes; None for the one before it. Where several follow one stage, that one's output is a union,
    #: and each takes members of it: a branch. Or each takes all of it, and All joins them. Each takes the items of a fan-out.
    after: After | None = None
    #: What follows when a job is given up. "fail": it becomes a dead letter, and the run has failed. "skip": the run goes on as if
    #: the output were null. "skip_after": nothing that follows on its way runs; the run, or of a fan-out's job or a fork's branch
    #: that, has ended with null. Fallback: the run goes on with another stage. Only "fail" makes a dead letter.
    on_failure: Literal["fail", "skip", "skip_after"] | Fallback = "fail"

    def __post_init__(self) -> None:
        check_after(self.name, self.after)
        self._check_failure()
        for what, name in (("stage", self.name), ("queue", self.queue)):
            check_name(what, name)
        self._check_contracts()
        if self.lock is not None:
            self._check_lock(self.lock)
        if not isinstance(self.retry, RetryPolicy):
            raise ValueError(f"stage {self.name!r}: retry is {self.retry!r}: write RetryPolicy(attempts=3)")  # noqa: TRY004
        self._check_times()
        if self.limit is not None:
            self._check_limits()

    def _check_lock(self, lock: object) -> None:
        if not isinstance(lock, Lock):
            raise ValueError(f"stage {self.name!r}: lock is {lock!r}: write Lock(name='site')")  # noqa: TRY004
        check_name("lock", lock.name)
        if lock.by is not None and not isinstance(
            self.input, JsonSchema
        ):  # of a manifest: its worker may be of an earlier version
            self._check_field(lock, lock.by)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """What limits its jobs."""
        return () if self.limit is None else limits_of(self.limit)

    def _check_limits(self) -> None:
        try:
            limits = limits_of(self.limit)
        except ValueError as error:
            raise ValueError(f"stage {self.name!r}: {error}") from None
        for limit in limits:
            if (field := limit.per or limit.fair) is not None:
                self._check_field(limit, field)

    def _check_field(self, declared: object, field: object) -> None:
        known = _fields_of(schema(self.input))
        if known is not None and field not in known:
            raise ValueError(
                f"stage {self.name!r}: {declared} names the field {field!r}, and its input has: {', '.join(known) or 'none'}"
            )

    def _check_failure(self) -> None:
        known = ("fail", "skip", "skip_after")
        if self.on_failure not in known and not isinstance(self.on_failure, Fallback):
            raise ValueError(
                f"stage {self.name!r}: on_failure is {self.on_failure!r}: write 'fail', 'skip', 'skip_after' or Fallback('stage')"
            )

    def _check_contracts(self) -> None:
        if self.output in (Many, AsyncMany):
            raise ValueError(
                f"stage {self.name!r}: its output is Many of what? Write Many[str], with the contract of its items"
            )
        for what, contract in (("input", self.input), ("output", self.output)):
            require_json_form(f"stage {self.name!r}: its {what}", contract)
        if not isinstance(self.serializer, Serializer) and self.serializer not in (JSON, MSGPACK):
            raise ValueError(
                f"stage {self.name!r}: serializer is {self.serializer!r}: write 'json', 'msgpack' or Serializer(name, dumps, loads)"
            )

    def _check_times(self) -> None:
        for what, seconds in (("timeout", self.timeout), ("soft_timeout", self.soft_timeout)):
            check_seconds(f"stage {self.name!r}", what, seconds)
        soft = 1e-9 if self.soft_timeout is None else self.soft_timeout
        if not 0 < soft <= (float("inf") if self.timeout is None else self.timeout):
            raise ValueError(
                f"stage {self.name!r}: soft_timeout is {self.soft_timeout} s and timeout {self.timeout} s: "
                "need 0 < soft_timeout <= timeout"
            )


def _fields_of(whole: dict[str, Any]) -> list[str] | None:
    """The fields of an object with this schema; None where it may have others, or is no one object."""
    found = whole
    if isinstance(ref := whole.get("$ref"), str):
        found = whole.get("$defs", {}).get(ref.rpartition("/")[2], {})
    if found.get("type") in ("array", "string", "integer", "number", "boolean", "null"):
        return []
    properties = found.get("properties")
    return list(properties) if isinstance(properties, dict) else None
