"""What the API answers, as pydantic models: the documentation is made of them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mousetrap.pipeline import Pipeline as PipelineData
from mousetrap.pipeline import schema
from mousetrap.run_store import RunState
from mousetrap.worker_registry import State

_UNREADABLE = "What of it cannot be read, because the store's data is damaged: a field each, with the reason."
_RUN = "019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b"


class _View(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True)


class Accepted(_View):
    """The run is kept: it survives whatever dies now."""

    run_id: str = Field(examples=[_RUN])
    #: Where the run is to be seen.
    url: str = Field(examples=[f"/runs/{_RUN}"])


class FailureLine(_View):
    """Why an attempt failed, as a list shows it."""

    kind: str = Field(examples=["mousetrap.earthquakes.contracts.FeedUnavailable"])
    text: str = Field(examples=["the feed answers 503"])


class Failure(FailureLine):
    """The same, with where it failed."""

    traceback: str = ""


class Event(_View):
    """One line of a run's timeline; times are milliseconds since 1970."""

    id: str = Field(examples=["1765432100123-0"])
    kind: str = Field(examples=["started"])
    at_ms: int
    stage: str | None = None
    job: str | None = None
    attempt: int | None = None
    worker: str | None = None
    failure: Failure | None = None
    unreadable: list[str] = Field([], description=_UNREADABLE)


class Progress(_View):
    """How far the handler that runs now has come."""

    stage: str
    done: float
    total: float | None = None
    note: str = ""


class RunLine(_View):
    """A run, as a list shows it; times are milliseconds since 1970."""

    id: str = Field(examples=[_RUN])
    pipeline: str = Field(examples=["earthquakes"])
    state: RunState
    stage: str = Field(description="The stage that the run reached last.", examples=["process"])
    accepted_ms: int
    updated_ms: int
    finished_ms: int | None = None
    failure: FailureLine | None = None
    progress: Progress | None = None
    unreadable: list[str] = Field([], description=_UNREADABLE, examples=[[]])


class PutAside(_View):
    """A dead letter of a run that waits: the broker put its message aside, or a worker did that could not believe it."""

    id: str = Field(examples=["5f0c5b7e6a1d5c0e8f3a2b4c6d8e0f1a"])
    queue: str = Field(description="The queue whose dead letter it is.", examples=["start_fetch"])
    reason: str = Field(examples=["expired"])
    believed: bool = Field(
        description="Whether a key of ours signed it; else it only says so itself that it is of this run."
    )


class Run(RunLine):
    """A run with its input, its result and its timeline, oldest event first."""

    expires_ms: int | None = Field(None, description="When no job of it is begun any more.")
    rerun_of: str | None = Field(None, description="The run that it repeats.", examples=[_RUN])
    input: Any = None
    failure: Failure | None = None
    result: Any = None
    timeline: list[Event] = []
    letter: PutAside | None = Field(
        None, description="Where its message lies, when it waits and a dead letter is why."
    )


class RunPage(_View):
    """Some runs, newest first."""

    runs: list[RunLine]
    next: str | None = Field(description="Ask with `after` set to this for the runs that follow.")


class Stage(_View):
    """A step of a pipeline; the contracts are JSON Schemas."""

    name: str
    queue: str
    input: dict[str, Any]
    output: dict[str, Any]


class Pipeline(_View):
    """A named chain of stages."""

    name: str = Field(examples=["earthquakes"])
    description: str
    stages: list[Stage]

    @classmethod
    def of(cls, pipeline: PipelineData) -> "Pipeline":
        return cls(
            name=pipeline.name,
            description=pipeline.description,
            stages=[
                Stage(name=s.name, queue=s.queue, input=schema(s.input), output=schema(s.output))
                for s in pipeline.stages
            ],
        )


class Cancelled(_View):
    """The run is cancelled: no attempt of it begins any more."""

    run_id: str = Field(examples=[_RUN])
    state: RunState


class LetterLine(_View):
    """A dead letter, as a list shows it; times are milliseconds since 1970."""

    id: str = Field(examples=["5f0c5b7e6a1d5c0e8f3a2b4c6d8e0f1a"])
    queue: str = Field(description="The queue that gave it up.", examples=["start_fetch"])
    reason: str = Field(examples=["max-retries"])
    error_kind: str = Field(examples=["mousetrap.earthquakes.contracts.FeedUnavailable"])
    error: str = Field(examples=["the feed answers 503"])
    attempts: int | None = None
    worker: str = ""
    at_ms: int | None = None
    run_id: str | None = Field(None, examples=[_RUN])
    pipeline: str | None = None
    stage: str | None = None
    generation: int = Field(0, description="How often it was redriven before.")
    believed: bool = Field(description="Whether it is a job that a key of ours signed.")


class LetterPage(_View):
    """Some dead letters, newest first; only what was seen is counted."""

    letters: list[LetterLine]
    matched: int = Field(description="How many letters the filters fit.")
    seen: int = Field(description="How many letters were looked at.")
    unseen: int = Field(description="How many more lay there, too many to be looked at together.")


class Letter(LetterLine):
    """A dead letter with its story: what it carries, what went wrong, and its run where that is remembered."""

    traceback: str = ""
    payload: Any = Field(None, description="The input of the stage.")
    body: str | None = Field(None, description="The whole message, where it is no job of ours.")
    run: Run | None = None


class LetterGroup(_View):
    """Dead letters of one queue that died of the same; the example is the newest of them."""

    queue: str
    reason: str
    error_kind: str
    count: int
    oldest_ms: int | None = None
    newest_ms: int | None = None
    example: LetterLine


class LetterGroups(_View):
    """Dead letters by what went wrong, the most frequent first."""

    groups: list[LetterGroup]
    seen: int = Field(description="How many letters were looked at.")
    unseen: int = Field(description="How many more lay there, too many to be looked at together.")


class _Repaired(_View):
    matched: int = Field(description="How many letters were meant.")
    left: int = Field(description="How many of those still lie there: repeat the request for them.")
    unseen: int = Field(description="How many more lay there, too many to be looked at together.")


class Redriven(_Repaired):
    """What became of the letters that were meant."""

    redriven: int
    stale: int = Field(description="Letters dropped because their job has gone on without them.")


class Discarded(_Repaired):
    """What became of the letters that were meant."""

    discarded: int


class Queue(_View):
    """What waits in a stage's queue for any worker; jobs that are delayed, or taken ahead by a worker, are no part of it."""

    name: str = Field(examples=["start_fetch"])
    ready: int = Field(description="How many jobs wait for a worker.")
    oldest_seconds: float = Field(
        description="How long the oldest of them can have waited: since the job that was taken last came, or the queue "
        "was last seen empty, whichever is later."
    )


class Doing(_View):
    """An attempt that a worker has under way."""

    run_id: str = Field(examples=[_RUN])
    stage: str
    attempt: int
    seconds: float = Field(description="How long it had been so at the worker's last beat.")


class Worker(_View):
    """A worker by its last beat; times are milliseconds since 1970."""

    name: str = Field(examples=["host-4711-9f3c"])
    host: str
    pid: int
    version: str
    stages: list[str] = Field(examples=[["earthquakes.fetch"]])
    queues: list[str] = Field(examples=[["start_fetch"]])
    concurrency: int
    state: State = Field(description="`stale` when its beats ceased without a farewell.")
    done: int = Field(description="Attempts that went well since it started.")
    failed: int = Field(description="Attempts that did not.")
    running: int
    doing: list[Doing] = Field(description="The oldest hundred of those that run.")
    started_ms: int
    seen_ms: int
    silent: float = Field(description="Seconds since its last beat; one comes every five.")


class Health(_View):
    """The process lives, or is ready."""

    status: Literal["live", "ready"]


class Refreshed(_View):
    """What the tutorial answers."""

    status: Literal["ok"] = "ok"
    run_id: str = Field(examples=[_RUN])


class Problem(_View):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:mousetrap:problem:contract-broken"])
    title: str
    status: int
    detail: str = Field(description="What is wrong, and how to correct it.")
    where: str | None = Field(None, description="The place: a JSON path, or the name of a parameter.")
    away: list[Literal["broker", "store"]] | None = Field(None, description="What the server waits for.")
