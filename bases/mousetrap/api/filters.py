"""Reads which dead letters a request selects."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from mousetrap.api.problems import Kind, Problem
from mousetrap.dead_letters import Selection

_TEXT = Field(None, max_length=200)
#: Ids of letters in one record of the audit.
_MAX_AUDITED_IDS = 20


class LetterFilter(BaseModel):
    """Selects the letters that match every given field."""

    model_config = ConfigDict(extra="forbid")

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

    def audited(self) -> dict[str, Any]:
        """The given fields, for the audit; of many ids the first ones, and how many more."""
        given = self.model_dump(exclude_unset=True)
        if len(ids := given.get("ids", [])) > _MAX_AUDITED_IDS:
            given["ids"] = [*ids[:_MAX_AUDITED_IDS], f"and {len(ids) - _MAX_AUDITED_IDS} more"]
        return given


class Listed(LetterFilter):
    """The letters of a list."""

    limit: int = Field(50, ge=1, le=200)


class Discard(LetterFilter):
    """The letters to act on: select some, or pass `all`."""

    all: bool = Field(False, description="Needed when nothing else selects letters.")
    limit: int = Field(
        100, ge=1, le=1000, description="The most letters of one request; repeat for the rest."
    )

    def selected(self) -> Selection:
        """The same for the component. Raises Problem when nothing is selected."""
        selection = self.selection()
        if selection == Selection() and not self.all:
            raise Problem(
                Kind.NOTHING_SELECTED,
                'select dead letters with a filter, or pass {"all": true}',
                where="body.all",
            )
        return selection


class Redrive(Discard):
    """The same, and how fast."""

    rate: float = Field(100.0, gt=0, le=1000, description="Letters a second, at most.")
