"""Reads which dead letters, or runs, a request selects."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from mousetrap.api.known import PIPELINE_NAME
from mousetrap.api.problems import Kind, Problem
from mousetrap.dead_letters import Selection
from mousetrap.operations import MOST_TARGETS
from mousetrap.shapes import RunState

_TEXT = Field(None, max_length=200)
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


class CancelRuns(Begun):
    """The runs to cancel, and how fast."""

    pipeline: str | None = Field(None, pattern=PIPELINE_NAME)
    state: RunState | None = Field(None, strict=False, description="Only runs that are in this state now.")


class RerunRuns(CancelRuns):
    """The runs to repeat, where each new one begins, and how fast."""

    begin: str = Field(
        "start",
        alias="from",
        max_length=64,
        description="`start`, `failed` (the stage that gave up), or a stage's name.",
    )
