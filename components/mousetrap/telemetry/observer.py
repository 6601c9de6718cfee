"""The events of a worker's jobs, and the log's lines of them."""

import logging
from typing import Any

from msgspec import UNSET

from mousetrap.jobs import Done, Failure, GiveUp, Job, Outcome, RetryLater

_log = logging.getLogger("mousetrap.worker")


class Observer:
    """What a worker reports of its jobs. An observer inherits from this and overrides the events it needs.

    All are called on the worker's event loop, between two steps of a job: they return at once and raise nothing.
    """

    def started(self, job: Job, since_ms: int, now_s: float) -> None:
        """The handler begins, at `now_s` on time.monotonic()'s clock.

        Its message is in the queue since then, in milliseconds since 1970; 0 where that is unknown: see `waited_ms`.
        """

    def ended(self, job: Job, outcome: Outcome, ran_s: float) -> None:
        """The handler has ended, and was not stopped; its outcome is not recorded yet. It has run so long, 0 if it never began."""

    def recorded(self, job: Job, outcome: Outcome, decision: str) -> None:
        """The store took the outcome: "recorded"; or dropped it: "stale", "over", "unlocked"."""

    def run_ended(self, job: Job, state: str) -> None:
        """The run of a job in a fan, or that opened one, is `completed` or `failed` with its outcome; or is `expired` with its claim."""

    def refused(self, queue: str, failure: Failure) -> None:
        """A message of `queue` becomes a dead letter without an attempt."""

    def published(self, job: Job, queue: str) -> None:
        """The broker has the job in `queue`: the next stage's, or the next attempt."""

    def parked(self, job: Job, queue: str, seconds: float) -> None:
        """The broker has the same job again, to be delivered after so many seconds."""

    def buried(self, job: Job | None, queue: str, reason: str) -> None:
        """The broker has a message of `queue` as a dead letter; `job` is None where it is not ours."""

    def lease_lost(self, job: Job) -> None:
        """Another worker has claimed the job; its handler here is stopped."""

    def cancelled(self, job: Job) -> None:
        """The run was ended from outside; its handler here is stopped."""

    def outage(self, job: Job, act: str, error: Exception) -> None:
        """Broker or store did not do `act` for the job, and it is not tried again."""


def waited_ms(job: Job, since_ms: int, now_ms: int) -> int:
    """How long the message of an attempt that begins now has waited; 0 where that is unknown.

    RabbitMQ notes whole seconds. That of a run's first attempt is the one in which the run was accepted, unless it was delayed. Of
    others whole seconds of both times are taken, which is right in the mean: of one alone, it would be half a second too much.
    """
    if not since_ms:
        return 0
    if job.parent is None and job.attempt == 1 and 0 <= job.accepted_ms - since_ms < 1000:
        since_ms = job.accepted_ms
    elif not since_ms % 1000:
        now_ms -= now_ms % 1000
    return now_ms - since_ms if now_ms > since_ms else 0


#: The names of the events.
EVENTS = tuple(name for name in vars(Observer) if not name.startswith("_"))


class Observers(Observer):
    """Passes each event on to the observers that override it."""

    def __init__(self, *observers: Observer) -> None:
        for name in EVENTS:
            ignored = getattr(Observer, name)
            calls = [getattr(each, name) for each in observers if getattr(type(each), name) is not ignored]
            if calls:
                setattr(self, name, calls[0] if len(calls) == 1 else _all_of(calls))


def _all_of(calls: list[Any]) -> Any:
    def call_each(*arguments: Any) -> None:
        for call in calls:
            call(*arguments)

    return call_each


class EventLog(Observer):
    """One line of log for each event that people look for."""

    def recorded(self, job: Job, outcome: Outcome, decision: str) -> None:
        """How the attempt ended."""
        is_usual = decision == "recorded" and isinstance(outcome, Done) and outcome.instead_of is UNSET
        if is_usual and not _log.isEnabledFor(logging.INFO):
            return  # each job comes here
        facts = _facts(job)
        match outcome:
            case Done(instead_of=GiveUp(reason, failure)) if decision == "recorded":
                _log.warning(
                    "gave up (%s), the run goes on: %s: %s", reason, failure.kind, failure.text, extra=facts
                )
            case _ if is_usual:
                _log.info("done", extra=facts)
            case _ if decision == "over":
                _log.info("dropped an outcome: the run has ended", extra=facts)
            case _ if decision == "stale":
                _log.warning("dropped an outcome: another worker has taken the job over", extra=facts)
            case _ if decision == "unlocked":
                _log.warning("dropped an outcome: the lock was lost; the job comes again", extra=facts)
            case RetryLater(after, failure, counted=False):
                _log.warning(
                    "an outage, again in %.1f s: %s: %s", after, failure.kind, failure.text, extra=facts
                )
            case RetryLater(after, failure):
                _log.warning(
                    "failed, again in %.1f s: %s: %s", after, failure.kind, failure.text, extra=facts
                )
            case GiveUp(reason, failure):
                _log.error("gave up (%s): %s: %s", reason, failure.kind, failure.text, extra=facts)

    def refused(self, queue: str, failure: Failure) -> None:
        """Why a message is not processed."""
        _log.warning("refused a message of %s: %s", queue, failure.text)

    def lease_lost(self, job: Job) -> None:
        """Which attempt stops."""
        _log.warning("another worker took a job over", extra={"run": job.run_id})

    def cancelled(self, job: Job) -> None:
        """Which attempt stops."""
        _log.info("stopping an attempt: its run was cancelled", extra={"run": job.run_id})

    def outage(self, job: Job, act: str, error: Exception) -> None:
        """What was not done."""
        _log.warning("could not %s: %s", act, error, extra={"run": job.run_id})


def _facts(job: Job) -> dict[str, str | int]:
    """What its lines have: for a child which one it is, for run, stage and attempt are those of its siblings too."""
    facts: dict[str, str | int] = {"run": job.run_id, "stage": job.stage, "attempt": job.attempt}
    if job.fans:
        facts["index"] = ".".join(str(place.index) for place in job.fans)
    return facts
