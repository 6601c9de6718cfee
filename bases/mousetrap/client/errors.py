"""The errors of a client; those of a run have its story.

MousetrapError
├── RunNotCompleted         the run ended without a result; `.run` is the run
│   ├── RunFailed           a job of it was given up, or it was never accepted
│   ├── RunCancelled        it was cancelled
│   └── RunExpired          its time was over before its next job could begin
├── WaitTimeout             also a TimeoutError: the wait is over, and the run goes on
├── ResultLeftOut           the run completed, and its result is too large for the way by which it was waited for
├── UnknownRun              the store has no such run, or has forgotten it
├── UnknownPipeline         no worker serves a pipeline of this name
├── ApiRefused              over HTTP: a key without the right, or something else that the API does not do
└── ClientClosed            it was closed, or belongs to another process or event loop
"""

from mousetrap.client.story import ending_of, story_of
from mousetrap.jobs import MousetrapError
from mousetrap.shapes import Reference, Run, RunState


class RunNotCompleted(MousetrapError):
    """The run ended without a result; its text has the run's story."""

    def __init__(self, run: Run) -> None:
        super().__init__(story_of(run))
        self.run = run


class RunFailed(RunNotCompleted):
    """A job of the run was given up, or it was never accepted."""


class RunCancelled(RunNotCompleted):
    """The run was cancelled."""


class RunExpired(RunNotCompleted):
    """The run's time was over before its next job could begin."""


class WaitTimeout(MousetrapError, TimeoutError):
    """The wait is over, and the run goes on."""

    def __init__(self, run_id: str, timeout_s: float, run: Run | None) -> None:
        state = f"it is {ending_of(run)}" if run else "its state could not be read"
        super().__init__(
            f"run {run_id} has not ended within {timeout_s:g} s, and goes on: {state}. {_why_not_begun(run)}Wait again with "
            f'client.run("{run_id}").wait(), or see it with `mousetrap show {run_id}`'
        )
        self.run_id = run_id
        #: As it was at the end of the wait; None where the store was away.
        self.run = run


class ResultLeftOut(MousetrapError):
    """The run completed, and its result is too large for the way by which it was waited for."""

    def __init__(self, run_id: str, at: Reference) -> None:
        super().__init__(
            f"run {run_id} completed, and its result of {at.size} bytes was not sent: it is in the store of payloads as "
            f'{at.key}. Wait for it over the broker (Client(via="broker")), with a MOUSETRAP_PAYLOAD_MAX_BYTES of as much'
        )
        self.run_id = run_id
        self.reference = at


class UnknownRun(MousetrapError):
    """The store has no such run, or has forgotten it."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"there is no run {run_id}: check the id; a run is forgotten a week after its last change, or after "
            "MOUSETRAP_RETENTION_SECONDS"
        )
        self.run_id = run_id


class UnknownPipeline(MousetrapError):
    """No worker serves a pipeline of this name."""


class ApiRefused(MousetrapError):
    """The API does not do what was asked: the text has its reason and the fix."""


class ClientClosed(MousetrapError):
    """The client was closed, or belongs to another process or event loop: open another."""


_ENDS = {RunState.CANCELLED: RunCancelled, RunState.EXPIRED: RunExpired}


def not_completed(run: Run) -> RunNotCompleted:
    """The error for a run that ended without a result."""
    return _ENDS.get(run.state, RunFailed)(run)


def _why_not_begun(run: Run | None) -> str:
    """What to look at where no worker has begun the run, though it is due."""
    if run is None or run.due_ms or any(event.kind == "started" for event in run.timeline):
        return ""
    return (
        "No worker has begun it: see whether one serves its stage (`mousetrap workers`), and whether one refused its message, "
        "as it does when its MOUSETRAP_SIGNING_KEYS has not your key (`mousetrap dead groups`). "
    )
