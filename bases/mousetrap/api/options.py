"""Reads the options of a run to start."""

from datetime import UTC, datetime
from typing import Protocol

from mousetrap.api.problems import Kind, Problem
from mousetrap.submit_run import OptionInvalid, SubmitOptions, delay_until

#: The longest time that a run may be given: a year, and longer than any store remembers it.
MAX_EXPIRY_S = 31_536_000.0


class Asked(Protocol):
    """The options as a caller writes them."""

    @property
    def delay(self) -> float | None:
        """Seconds."""

    @property
    def at(self) -> str | None:
        """ISO 8601, with an offset."""

    @property
    def expires_in(self) -> float | None:
        """Seconds."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The caller's own words."""

    @property
    def priority(self) -> int:
        """0 to 9."""


def read_options(asked: Asked, place: str, now: datetime) -> SubmitOptions:
    """The options at the time `now`. Raises Problem, with `place` before the option's name."""
    try:
        at = None if asked.at is None else _read_at(asked.at)
        delay_s = delay_until(delay=asked.delay, at=at, now=now)
        return SubmitOptions(
            delay_s=delay_s, expires_in=asked.expires_in, tags=asked.tags, priority=asked.priority
        )
    except OptionInvalid as error:
        raise Problem(Kind.INVALID_REQUEST, str(error), where=f"{place}.{error.option}") from None


def utc_now() -> datetime:
    """The time that `at` is compared with."""
    return datetime.now(UTC)


def _read_at(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise OptionInvalid(
            "at",
            f"at is {text[:50]!r}: write ISO 8601 with an offset, as 2026-12-01T08:00:00Z or 2026-12-01T08:00:00+01:00; "
            "in a query a + is written %2B",
        ) from None
