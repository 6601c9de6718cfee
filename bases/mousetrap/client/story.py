"""Writes what happened to a run as a text for people: pure."""

from collections.abc import Iterator

from mousetrap.settings import masked
from mousetrap.shapes import Event, Run, RunState

#: Lines of the timeline that are written; the first and the last ones.
_MAX_EVENTS = 20
#: Characters of an error that one line shows.
_MAX_TEXT = 300
_LEFT_OUT = ("yielded", "truncated")


def story_of(run: Run) -> str:
    """What became of the run, its timeline in seconds since it was accepted, and what can be done."""
    heading = f"run {run.id} of {run.pipeline} {ending_of(run)}"
    return masked("\n".join((heading, *_timeline(run), f"  {_advice(run)}")))


def ending_of(run: Run) -> str:
    """The run's state, its stage where it has one to report, and why it failed."""
    match run.state:
        case RunState.FAILED:
            given_up = [event for event in run.timeline if event.kind == "gave_up" and event.attempt]
            after = f" after {_count(given_up[-1].attempt or 1, 'attempt')}" if given_up else ""
            # Of a fan-out the run's stage is the one that opened the job.
            stage = (given_up[-1].stage if given_up else None) or run.stage
            return f"failed at stage {stage!r}{after}{_why(run)}"
        case RunState.REJECTED:
            return f"was never accepted{_why(run)}"
        case RunState.CANCELLED | RunState.EXPIRED:
            return f"is {run.state}, at stage {run.stage!r}{_why(run)}"
        case RunState.COMPLETED:
            return "completed"
        case state:
            return f"{state}, at stage {run.stage!r}"


def _why(run: Run) -> str:
    return f": {_shortened(run.failure.summary)}" if run.failure else ""


def _timeline(run: Run) -> Iterator[str]:
    events = [event for event in run.timeline if event.kind not in _LEFT_OUT]
    half = _MAX_EVENTS // 2
    for place, event in enumerate(events):
        if len(events) <= _MAX_EVENTS or place < half or place >= len(events) - half:
            yield _line(event, run.accepted_ms)
        elif place == half:
            yield f"  {'…':>10}    {len(events) - _MAX_EVENTS} more"


def _line(event: Event, accepted_ms: int) -> str:
    what = f"{event.stage}: {event.kind.replace('_', ' ')}" if event.stage else event.kind.replace("_", " ")
    attempt = f", attempt {event.attempt}" if event.attempt and event.attempt > 1 else ""
    worker = f" by {event.worker}" if event.worker and event.kind == "started" else ""
    why = f": {_shortened(event.failure.summary)}" if event.failure else ""
    return f"  {(event.at_ms - accepted_ms) / 1000:8.2f} s  {what}{attempt}{worker}{why}"


def _advice(run: Run) -> str:
    show = f"`mousetrap show {run.id}` shows all of it, with the traceback"
    again = {
        RunState.FAILED: f"once the cause is gone, {_repair(run)}",
        RunState.REJECTED: "submit it again",
        RunState.EXPIRED: "run.rerun() repeats it, without an end of its time",
    }
    return "; ".join(filter(None, (show, again.get(run.state, "run.rerun() repeats it"))))


def _repair(run: Run) -> str:
    """How a failed run goes on. No re-run begins with one job of a fan-out."""
    if any(fan.is_short for fan in run.fans):
        return f"`mousetrap dead redrive --run {run.id}` makes those jobs again, and this run goes on"
    return 'run.rerun(begin="failed") repeats it from there'


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_TEXT else f"{line[:_MAX_TEXT]}…"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
