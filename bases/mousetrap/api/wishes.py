"""Says which dead letters a request means, and what is to be done with them."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mousetrap.api.problems import Problem
from mousetrap.dead_letters import Selection

_TEXT = Field(None, max_length=200)
#: Ids of letters in one record of the audit.
_IDS_SHOWN = 20

Kind = TypeVar("Kind", bound=BaseModel)


class Wish(BaseModel):
    """Which letters are meant: those that all that is said fits."""

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
        """The same as the component knows it."""
        wishes = {name: getattr(self, name) for name in Wish.model_fields}
        return Selection(**{**wishes, "ids": frozenset(self.ids)})

    def said(self) -> dict[str, Any]:
        """What was said, for the audit; of many ids the first ones, and how many more."""
        said = self.model_dump(exclude_unset=True)
        if len(ids := said.get("ids", [])) > _IDS_SHOWN:
            said["ids"] = [*ids[:_IDS_SHOWN], f"and {len(ids) - _IDS_SHOWN} more"]
        return said


class Page(Wish):
    """What a list shows."""

    limit: int = Field(50, ge=1, le=200)


class Discard(Wish):
    """Which letters are to be dealt with: say it, or say `all`."""

    all: bool = Field(False, description="Needed when nothing else says which letters are meant.")
    limit: int = Field(100, ge=1, le=1000, description="The most that are dealt with; repeat for the rest.")

    def meant(self) -> Selection:
        """The same as the component knows it. Raises Problem when nothing is said."""
        selection = self.selection()
        if selection == Selection() and not self.all:
            raise Problem(
                "nothing-selected", 'say which letters are meant, or {"all": true}', where="body.all"
            )
        return selection


class Redrive(Discard):
    """The same, and how fast."""

    rate: float = Field(100.0, gt=0, le=1000, description="Letters a second, at most.")


class Edited(BaseModel):
    """With what a letter goes round again."""

    model_config = ConfigDict(extra="forbid")

    input: Any = Field(None, description="Instead of what the stage was given before.")


def takes(kind: type[BaseModel]) -> dict[str, Any]:
    """What a route's documentation says of a body of this kind."""
    return {"requestBody": {"content": {"application/json": {"schema": kind.model_json_schema()}}}}


def body_of(kind: type[Kind]) -> Callable[[Request], Coroutine[Any, Any, Kind]]:
    """Reads the body as this kind, an empty one as its defaults; as a dependency, so that the key is checked before."""

    async def read(request: Request) -> Kind:
        try:
            return kind.model_validate_json(await request.body() or b"{}", strict=True)
        except ValidationError as error:
            wrong = [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
            raise RequestValidationError(wrong) from None

    return read


class _Given(msgspec.Struct):
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


async def given_input(request: Request) -> bytes | None:
    """The member `input` of a body as it was sent: read into values and written again, numbers could change."""
    try:
        given = msgspec.json.decode(await request.body() or b"{}", type=_Given).input
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("invalid-request", f"the body cannot be read: {error}", where="body") from None
    return None if isinstance(given, msgspec.UnsetType) else bytes(given)
