"""Checks how a run is to be submitted."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from mousetrap.jobs import DEFAULT_PRIORITY, LONGEST_DELAY_S
from mousetrap.shapes import priority_fault

#: A hundred years; the store counts in milliseconds, which have an end as well.
_LONGEST_S = 100 * 365 * 86_400.0
#: An `at` that is older is refused; a younger one was now when its caller wrote it.
_JUST_NOW_S = 1.0
#: The tags of a run, and the characters of each: they are kept with it and shown in lists.
MOST_TAGS, LONGEST_TAG = 16, 64


class OptionInvalid(ValueError):
    """An option of a submission has no meaning; the text has the place and the fix."""

    def __init__(self, option: str, text: str) -> None:
        super().__init__(text)
        #: The option's name, as the caller wrote it.
        self.option = option


def _check_delay(option: str, seconds: float) -> None:
    if not 0 <= seconds < math.inf:
        raise OptionInvalid(
            option, f"{option} is {seconds} seconds: give a number from 0 on; 0 begins the run at once"
        )
    if seconds > LONGEST_DELAY_S:
        raise OptionInvalid(
            option,
            f"{option} is {seconds:.0f} seconds from now, and the longest delay is {LONGEST_DELAY_S:.0f} (291 days): "
            "submit the run later, or let an earlier run submit it",
        )


def _check_expiry(expires_in: float | None, delay: float) -> None:
    if expires_in is None:
        return
    if not 0 < expires_in < _LONGEST_S:
        raise OptionInvalid(
            "expires_in",
            f"expires_in is {expires_in}: give seconds, more than 0 and less than a hundred years",
        )
    if expires_in <= delay:
        raise OptionInvalid(
            "expires_in",
            f"expires_in is {expires_in:g} seconds from now, and the run may begin in {delay:g}: it would never begin. "
            "Give a later end, or a shorter delay",
        )


def _check_tags(tags: tuple[str, ...]) -> None:
    if len(tags) > MOST_TAGS:
        raise OptionInvalid("tags", f"tags has {len(tags)} tags: give at most {MOST_TAGS}")
    for tag in tags:
        if not 1 <= len(tag) <= LONGEST_TAG or not tag.isprintable():
            raise OptionInvalid(
                "tags",
                f"the tag {tag[: LONGEST_TAG + 1]!r} is refused: give 1 to {LONGEST_TAG} printable characters",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """How a run is submitted. Raises OptionInvalid."""

    #: Seconds from now before which no job of it is begun.
    delay_s: float = 0.0
    #: Seconds from now after which no job of it is begun any more. None for the pipeline's own number, counted from when
    #: the run may begin.
    expires_in: float | None = None
    #: Words of the caller's own, kept with the run and shown with it.
    tags: tuple[str, ...] = ()
    #: 0 to 9: of all its jobs, wherever they wait. Of two that wait in one queue the higher goes first.
    priority: int = DEFAULT_PRIORITY

    def __post_init__(self) -> None:
        _check_delay("delay", self.delay_s)
        _check_expiry(self.expires_in, self.delay_s)
        _check_tags(self.tags)
        if fault := priority_fault(self.priority):
            raise OptionInvalid("priority", fault)


#: At once, with the pipeline's own end.
NOW = SubmitOptions()


def delay_until(
    *, delay: float | timedelta | None = None, at: datetime | None = None, now: datetime
) -> float:
    """Seconds from `now` (aware) until a run may begin, by one of the two options or none. Raises OptionInvalid."""
    if at is None:
        seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay or 0.0
        _check_delay("delay", seconds)
        return float(seconds)
    if delay is not None:
        raise OptionInvalid("at", "delay and at are both given: give one of them")
    if at.utcoffset() is None:
        raise OptionInvalid(
            "at",
            f"at is {at.isoformat()}, without a time zone: give one, as in {at.isoformat()}+00:00 or "
            "datetime.now(UTC)",
        )
    seconds = (at - now).total_seconds()
    if seconds < -_JUST_NOW_S:
        raise OptionInvalid(
            "at", f"at is {at.isoformat()}, {-seconds:.0f} s ago: give a later time, or leave it out for now"
        )
    _check_delay("at", max(0.0, seconds))
    return max(0.0, seconds)
