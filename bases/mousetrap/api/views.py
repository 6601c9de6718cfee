"""Responses that only the API knows; the others are `mousetrap.shapes`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class Health(_View):
    """The process lives, or is ready."""

    status: Literal["live", "ready"]


class Refreshed(_View):
    """The run that `/refresh` started."""

    status: Literal["ok"] = "ok"
    run_id: str = Field(examples=["019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b"])


class Problem(_View):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:mousetrap:problem:contract-broken"])
    title: str
    status: int
    detail: str = Field(description="What is wrong, and how to correct it.")
    where: str | None = Field(None, description="The place: a JSON path, or the name of a parameter.")
    away: list[Literal["broker", "store"]] | None = Field(None, description="What the server waits for.")
