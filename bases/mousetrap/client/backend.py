"""What a client needs of broker and store, or of the API."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from mousetrap.blobs import Chunks
from mousetrap.pipeline import Pipeline
from mousetrap.shapes import Event, JobPage, JobState, Progress, Run, RunState
from mousetrap.submit_run import Accepted, StartOptions, check_identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A run to start."""

    #: The pipeline's name.
    pipeline: str
    #: JSON; empty means the pipeline's defaults.
    input: bytes
    options: StartOptions = field(default_factory=StartOptions)
    #: The pipeline itself where the caller has its code: then no worker needs to have published it.
    known: Pipeline | None = None
    #: Whether the id in the options was made for this submission.
    is_new: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is published to a topic."""

    topic: str
    #: JSON; empty means the defaults of each pipeline that takes it.
    input: bytes
    #: With the idempotency key.
    options: StartOptions
    #: Whether that key was made for this message.
    is_new: bool


class Begun(NamedTuple):
    """A run of what was published, and whether it is started now."""

    pipeline: str
    run: Accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """A run to repeat. Raises OptionInvalid for a key of another form."""

    run_id: str
    #: "start", "failed" (the stage that gave up), or a stage's name.
    begin: str = "start"
    #: JSON, instead of that stage's former input.
    input: bytes | None = None
    #: Idempotency key: the same key gives the first re-run.
    unique: str | None = None
    known: Pipeline | None = None

    def __post_init__(self) -> None:
        check_identity(None, self.unique)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsWanted:
    """A page of a run's jobs; None for all."""

    run_id: str
    limit: int
    stage: str | None = None
    state: JobState | None = None
    #: `next` of the page before.
    after: str | None = None
    known: Pipeline | None = None


class Backend(Protocol):
    """Starts, shows and repeats runs, over the broker or over HTTP.

    Every method raises a MousetrapError whose text has the fix: QueueUnreachable, StoreUnreachable, QueueFull, DeadLettersFull, StoreFull, Unroutable,
    PublishUnconfirmed, RunConflict, RerunImpossible, UnknownPipeline, UnknownRun; and ContractBroken for an input that
    does not fit. After QueueUnreachable, StoreUnreachable and PublishUnconfirmed a run under the same id may be there or not: to repeat the call is safe.
    """

    async def start(self, submission: Submission) -> Accepted:
        """Returns once the run is kept."""
        ...

    async def start_many(self, submissions: Sequence[Submission]) -> Sequence[Accepted | Exception]:
        """Starts each on its own: what became of each, in the same order."""
        ...

    async def publish(self, message: Message) -> Sequence[Begun]:
        """Starts a run of each pipeline that takes the topic. Raises NoTaker, and TopicInvalid."""
        ...

    async def get(self, run_id: str) -> Run:
        """The run with its timeline. Raises UnknownRun."""
        ...

    async def cancel(self, run_id: str) -> RunState:
        """The state after this: cancelled, or the one in which the run had ended before. Raises UnknownRun."""
        ...

    async def rerun(self, repetition: Repetition) -> Accepted:
        """Accepts a new run that repeats another one. Raises UnknownRun and RerunImpossible."""
        ...

    async def jobs(self, wanted: JobsWanted) -> JobPage:
        """Some of the run's jobs, with where to go on. Raises UnknownRun, UnknownPipeline, and OptionInvalid for a stage that there is not."""
        ...

    def events(self, run_id: str, after: str) -> AsyncIterator[Event | Progress]:
        """The run's events after the one with the id `after` ("0" for all), as they happen, until it ends.

        Ends early, or raises StoreUnreachable, where the connection is lost: the client asks again with its last event's id.
        """
        ...

    async def wait_ended(self, run_id: str, within: float | None) -> Run | None:
        """The run once it has ended; None after `within` seconds. Pushed, not polled. Raises UnknownRun.

        A result that the backend does not transport for its size is left out: the run has its reference alone.
        """
        ...


@runtime_checkable
class HasBlobs(Protocol):
    """A backend that reaches the payloads, and so the bytes of blobs."""

    def chunks(self, run_id: str) -> Chunks:
        """Those of a run's blobs."""
        ...
