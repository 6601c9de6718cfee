"""Reads schedules from requests."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from mousetrap.api.problems import Kind, Problem
from mousetrap.jobs import DEFAULT_PRIORITY, HIGHEST_PRIORITY, LOWEST_PRIORITY
from mousetrap.schedules import Missed, Overlap, Schedule, ScheduleWrong

#: A hundred years, in seconds and in milliseconds.
_LONGEST_S = 3_155_760_000.0
_LAST_MS = 9_999_999_999_999
_SPANS = ("every", "catch_up", "jitter", "expires_after")
_START = datetime(1970, 1, 1, tzinfo=UTC)


class ScheduleEdit(BaseModel):
    """Members of a schedule; those that are left out stay as they are."""

    model_config = ConfigDict(extra="forbid")

    pipeline: str = Field("", max_length=63)
    cron: str | None = Field(
        None, max_length=200, description="Five fields. Not together with `every`.", examples=["30 2 * * *"]
    )
    tz: str = Field("UTC", max_length=100, examples=["Europe/Berlin"])
    every: float | None = Field(None, ge=1, le=_LONGEST_S, description="Seconds between two ticks.")
    anchor_ms: int = Field(
        0,
        ge=0,
        le=_LAST_MS,
        description="Milliseconds since 1970 that the ticks of `every` are counted from.",
    )
    input: Any = Field(None, description="The pipeline's input; null for its defaults.")
    tick_as: str = Field("", max_length=200, description="The member of the input that gets the tick.")
    missed: Missed = "once"
    most: int = Field(100, ge=1, le=1000)
    catch_up: float = Field(86_400.0, ge=0, le=_LONGEST_S, description="Seconds.")
    overlap: Overlap = "allow"
    jitter: float = Field(0.0, ge=0, le=86_400, description="Seconds.")
    expires_after: float | None = Field(None, gt=0, lt=_LONGEST_S, description="Seconds.")
    tags: list[str] = Field([], max_length=15)
    priority: int = Field(
        DEFAULT_PRIORITY,
        ge=LOWEST_PRIORITY,
        le=HIGHEST_PRIORITY,
        description="Of its runs: the highest goes first.",
    )

    def applied(self, schedule: Schedule, input: bytes | None) -> Schedule:
        """The schedule with the members that were given. Raises Problem."""
        given = self._given(input)
        # Who gives the one kind of times takes the other kind away.
        if given.get("cron") is not None:
            given = {"every": None, "anchor": _START, **given}
        elif given.get("every") is not None:
            given = {"cron": None, "tz": "UTC", **given}
        members = {name: getattr(schedule, name) for name in Schedule.__dataclass_fields__}
        return _made({**members, **given})

    def _given(self, input: bytes | None) -> dict[str, Any]:
        """The members that were given, as a Schedule takes them; the input as it was sent."""
        given = self.model_dump(exclude_unset=True)
        for name in _SPANS:
            if given.get(name) is not None:
                given[name] = timedelta(seconds=given[name])
        if (anchor_ms := given.pop("anchor_ms", None)) is not None:
            given["anchor"] = datetime.fromtimestamp(anchor_ms / 1000, UTC)
        if "tags" in given:
            given["tags"] = tuple(given["tags"])
        if input is not None:
            given["input"] = msgspec.json.decode(input)
        return given


class NewSchedule(ScheduleEdit):
    """A schedule: `cron` or `every`, and a pipeline."""

    name: str = Field(max_length=63, examples=["nightly"])
    pipeline: str = Field(max_length=63, examples=["earthquakes"])

    def schedule(self, input: bytes | None) -> Schedule:
        """The same for the component. Raises Problem."""
        return _made(self._given(input))


class Resume(BaseModel):
    """How a schedule is resumed."""

    model_config = ConfigDict(extra="forbid")

    make_up: bool = Field(False, description="Whether ticks that came meanwhile count as missed ones.")


class Backfill(BaseModel):
    """A span of time whose ticks fire now, if their runs are not there."""

    model_config = ConfigDict(extra="forbid")

    from_ms: int = Field(ge=0, le=_LAST_MS, description="Milliseconds since 1970: ticks from then on.")
    to_ms: int = Field(
        ge=0, le=_LAST_MS, description="Milliseconds since 1970: ticks before that, and before now."
    )


def _made(members: Mapping[str, Any]) -> Schedule:
    try:
        return Schedule(**members)
    except ScheduleWrong as wrong:
        raise Problem(Kind.INVALID_REQUEST, wrong.text, where=f"body.{wrong.member}") from None
