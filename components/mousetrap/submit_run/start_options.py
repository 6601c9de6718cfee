"""Reads the options of a submission as a caller writes them. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from numbers import Real
from typing import Any, TypedDict

from mousetrap.jobs import DEFAULT_PRIORITY
from mousetrap.shapes import priority_fault
from mousetrap.submit_run.options import OptionInvalid, SubmitOptions, delay_until
from mousetrap.submit_run.submitter import run_id_of_key

#: What a run's id and an idempotency key may be, as parts of regular expressions.
RUN_ID_FORM, KEY_FORM = r"[A-Za-z0-9_-]{1,64}", r"[ -~]{1,255}"
#: Whose idempotency keys a client's and an outbox's are: one key means one run whichever way it is submitted, and those of
#: the API's callers do not meet it.
KEY_OWNER = "client"

_run_id, _key = re.compile(RUN_ID_FORM), re.compile(KEY_FORM)

Span = float | timedelta


class CommonOptions(TypedDict, total=False):
    """The options that many runs have in common; each has a default."""

    #: Seconds, or a timedelta, until the first job may begin.
    delay: Span | None
    #: When the first job may begin: a datetime with a time zone. Not together with `delay`.
    at: datetime | None
    #: Seconds, or a timedelta, after which no job of it is begun any more; else the pipeline's own number.
    expires_in: Span | None
    #: At most 16 texts of at most 64 characters.
    tags: Sequence[str]
    #: 0 to 9, the highest of which goes first; 4 is the default.
    priority: int


class RunOptions(CommonOptions, total=False):
    """The options of one run."""

    #: The id that the run is to have: 1 to 64 letters, digits, _ or -.
    id: str | None
    #: Idempotency key, 1 to 255 printable ASCII characters: the same key and input give the first run; another input is a
    #: RunConflict. Not together with `id`.
    unique: str | None


class PublishOptions(CommonOptions, total=False):
    """The options of what is published: those of each run that it starts."""

    #: Idempotency key, 1 to 255 printable ASCII characters: the same key and topic give the first runs.
    unique: str | None


def check_identity(run_id: str | None, unique: str | None) -> None:
    """Raises OptionInvalid unless each is None or of its form, and one of them is None."""
    if run_id is not None and unique is not None:
        raise OptionInvalid("id", "id and unique are both given: give one; unique makes the id of its key")
    if run_id is not None and not (isinstance(run_id, str) and _run_id.fullmatch(run_id)):
        raise OptionInvalid(
            "id", f"the id {_start(run_id)} is refused: a run id is 1 to 64 letters, digits, _ or -"
        )
    if unique is not None and not (isinstance(unique, str) and _key.fullmatch(unique)):
        raise OptionInvalid(
            "unique",
            f"the key {_start(unique)} is refused: give unique 1 to 255 printable ASCII characters, as a hash of a longer or "
            "another text has them, or leave it out",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """The options of one submission. Raises OptionInvalid for an id or a key of another form."""

    #: The id that the run is to have; None for a new one.
    id: str | None = None
    #: Idempotency key: the same key and input give the first run. Not together with `id`.
    unique: str | None = None
    #: Seconds until its first job may begin. Not together with `at`.
    delay: float | None = None
    #: When its first job may begin: aware.
    at: datetime | None = None
    #: Seconds after which no job of it is begun any more; None for the pipeline's own number.
    expires_in: float | None = None
    tags: tuple[str, ...] = ()
    priority: int = DEFAULT_PRIORITY

    def __post_init__(self) -> None:
        check_identity(self.id, self.unique)

    def terms(self, now: datetime) -> SubmitOptions:
        """How the run is submitted at `now` (aware). Raises OptionInvalid."""
        delay_s = delay_until(delay=self.delay, at=self.at, now=now)
        return SubmitOptions(
            delay_s=delay_s, expires_in=self.expires_in, tags=self.tags, priority=self.priority
        )

    def run_id(self, pipeline: str, new_id: str) -> str:
        """The run's id: that of its key, the one that was given, or else `new_id`."""
        if self.unique is not None:
            return run_id_of_key(KEY_OWNER, pipeline, self.unique)
        return new_id if self.id is None else self.id


def read_options(given: Mapping[str, Any]) -> StartOptions:
    """The options, checked as far as no clock is needed. Raises TypeError for an unknown one, and OptionInvalid."""
    if unknown := sorted(given.keys() - RunOptions.__annotations__.keys()):
        known = ", ".join(sorted(RunOptions.__annotations__))
        raise TypeError(f"submit has no option {', '.join(unknown)}; it has: {known}")
    return StartOptions(
        id=given.get("id"),
        unique=given.get("unique"),
        delay=_seconds_or_none(given.get("delay"), "delay"),
        at=_time(given.get("at")),
        expires_in=_seconds_or_none(given.get("expires_in"), "expires_in"),
        tags=_tags(given.get("tags", ())),
        priority=_priority(given.get("priority", DEFAULT_PRIORITY)),
    )


def seconds(span: Span, option: str) -> float:
    """A span of time in seconds. Raises TypeError, with the option's name, for what is none."""
    if isinstance(span, timedelta):
        return span.total_seconds()
    if not isinstance(span, Real):
        raise TypeError(f"{option} is {_start(span)}: give seconds as a number, or a timedelta")
    return float(span)


def _seconds_or_none(span: Span | None, option: str) -> float | None:
    return None if span is None else seconds(span, option)


def _time(at: datetime | None) -> datetime | None:
    if at is not None and not isinstance(at, datetime):
        raise OptionInvalid(
            "at",
            f"at is {_start(at)}: give a datetime with a time zone, as datetime(2026, 12, 24, 8, tzinfo=UTC), or "
            "datetime.fromisoformat(…) of a text",
        )
    return at


def _tags(given: Sequence[str]) -> tuple[str, ...]:
    is_list = isinstance(given, Iterable) and not isinstance(given, str)
    tags = tuple(given) if is_list else ()
    if not is_list or not all(isinstance(tag, str) for tag in tags):
        raise OptionInvalid("tags", f"tags is {_start(given)}: give a list of texts")
    return tags


def _priority(given: object) -> int:
    """One that is no number is refused here: an address has no types, so that over HTTP '9' would be 9."""
    if not isinstance(given, int):
        raise OptionInvalid("priority", priority_fault(given))
    return given


def _start(given: object) -> str:
    return repr(given)[:70]
