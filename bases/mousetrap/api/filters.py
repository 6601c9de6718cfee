"""Reads which dead letters and which runs a request selects."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mousetrap.api.known import PIPELINE_NAME
from mousetrap.api.problems import Kind, Problem
from mousetrap.dead_letters import Selection
from mousetrap.operations import MOST_TARGETS
from mousetrap.run_store import RunFilter
from mousetrap.shapes import RunState

_TEXT = Field(None, max_length=200)
#: Where a page of runs ended, the beginning of a run's id, and the last millisecond of the year 2286.
_PLACE, _ID, _LAST_MS = r"^[0-9]{13}:[A-Za-z0-9_-]{1,64}$", r"^[A-Za-z0-9_-]{1,64}$", 9_999_999_999_999
#: Ids of letters in one record of the audit.
_MAX_AUDITED_IDS = 20
#: Fields that are no conditions.
_HOW = frozenset(("all", "limit", "rate", "begin"))


class _Filter(BaseModel):
    """Selects what matches every given field."""

    model_config = ConfigDict(extra="forbid")

    def conditions(self) -> dict[str, Any]:
        """The conditions that were given, by name."""
        given = {name: getattr(self, name) for name in type(self).model_fields if name not in _HOW}
        return {name: value for name, value in given.items() if value not in (None, [])}

    def audited(self) -> dict[str, Any]:
        """The given fields, for the audit; of many ids the first ones, and how many more."""
        given = self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        if len(ids := given.get("ids", [])) > _MAX_AUDITED_IDS:
            given["ids"] = [*ids[:_MAX_AUDITED_IDS], f"and {len(ids) - _MAX_AUDITED_IDS} more"]
        return given


class LetterFilter(_Filter):
    """Selects the letters that match every given field."""

    queue: str | None = Field(None, max_length=200, description="The queue that gave it up.")
    reason: str | None = _TEXT
    error: str | None = Field(
        None, max_length=200, description="The error's class, with its module or without."
    )
    text: str | None = Field(
        None, max_length=200, description="A part of the error's text, in capitals or not."
    )
    run: str | None = _TEXT
    stage: str | None = _TEXT
    before_ms: int | None = Field(None, description="Milliseconds since 1970: only what died before.")
    after_ms: int | None = Field(None, description="Milliseconds since 1970: only what died then or later.")
    ids: list[Annotated[str, Field(max_length=200)]] = Field([], max_length=1000)

    def selection(self) -> Selection:
        """The same for the component."""
        given = {name: getattr(self, name) for name in LetterFilter.model_fields}
        return Selection(**{**given, "ids": frozenset(self.ids)})


class Listed(LetterFilter):
    """The letters of a list."""

    limit: int = Field(50, ge=1, le=200)


class _Act(_Filter):
    """What to act on: select some, or pass `all`."""

    all: bool = Field(False, description="Needed when nothing else selects any.")

    def chosen(self) -> dict[str, Any]:
        """The conditions. Raises Problem where neither one nor `all` is given."""
        conditions = self.conditions()
        if not conditions and not self.all:
            advice = 'select some with a filter, or all with {"all": true}'
            raise Problem(Kind.NOTHING_SELECTED, advice, where="body.all")
        return conditions


class Discard(LetterFilter, _Act):
    """The letters to act on: select some, or pass `all`."""

    limit: int = Field(
        100, ge=1, le=1000, description="The most letters of one request; repeat for the rest."
    )

    def selected(self) -> Selection:
        """The same for the component. Raises Problem when nothing is selected."""
        self.chosen()
        return self.selection()


class Begun(_Act):
    """What an operation is to act on, and how fast."""

    limit: int | None = Field(
        None, ge=1, le=MOST_TARGETS, description="The most of one operation; without it all that match."
    )
    rate: float = Field(100.0, gt=0, le=1000, description="How many a second, at most.")
    begin: str = ""


class Redrive(LetterFilter, Begun):
    """The letters to redrive, and how fast."""


class RunSelection(_Filter):
    """Selects the runs that match every given field."""

    pipeline: str | None = Field(None, pattern=PIPELINE_NAME)
    state: RunState | None = Field(None, description="Only the runs that are in this state now.")
    stage: str | None = Field(None, max_length=200, description="The stage that the run reached last.")
    worker: str | None = Field(
        None, max_length=200, description="The worker that has the run's last job, or had it."
    )
    error: str | None = Field(
        None,
        max_length=200,
        description="The class of the error that ended the run, with its module or without.",
    )
    tag: str | None = Field(None, max_length=64, description="One of the run's tags.")
    from_ms: int | None = Field(
        None, ge=0, le=_LAST_MS, description="Milliseconds since 1970: only what was accepted then or later."
    )
    to_ms: int | None = Field(
        None, ge=0, le=_LAST_MS, description="Milliseconds since 1970: only what was accepted before."
    )
    id: str | None = Field(None, pattern=_ID, description="What the run's id begins with.")
    repaired: bool | None = Field(
        None,
        description="Only runs that failed: of which a re-run completed (`true`), or none yet (`false`).",
    )

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.from_ms is not None and self.to_ms is not None and self.from_ms >= self.to_ms:
            raise ValueError("no run was accepted both from `from_ms` on and before `to_ms`: swap them")
        return self

    def selection(self) -> RunFilter:
        """The same for the component."""
        return RunFilter(**{name: getattr(self, name) for name in RunSelection.model_fields})


class ListedRuns(RunSelection):
    """The runs of a page."""

    limit: int = Field(50, ge=1, le=200)
    after: str | None = Field(None, pattern=_PLACE, description="`next` of the page before.")


class CancelRuns(RunSelection, Begun):
    """The runs to cancel, and how fast."""


class RerunRuns(CancelRuns):
    """The runs to repeat, where each new one begins, and how fast."""

    begin: str = Field(
        "start",
        alias="from",
        max_length=64,
        description="`start`, `failed` (the stage that gave up), or a stage's name.",
    )
