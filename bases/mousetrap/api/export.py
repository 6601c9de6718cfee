"""Exports the runs that a filter selects."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from mousetrap.api.access import may_read
from mousetrap.api.filters import RunSelection
from mousetrap.api.problems import NO_ACCESS, Kind, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithStore
from mousetrap.run_store import RunFilter, RunStore
from mousetrap.shapes import FailureLine, RunLine, RunPage

#: Runs of one export, and of one read of the store.
_MOST, _PAGE = 100_000, 200
_COLUMNS = (
    *(
        "id",
        "pipeline",
        "state",
        "stage",
        "accepted",
        "updated",
        "finished",
        "seconds",
        "error",
        "text",
        "tags",
    ),
)
#: What a spreadsheet takes for the begin of a formula. Errors and tags are texts from outside.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

router = APIRouter(tags=["runs"], route_class=Route)


class Exported(RunSelection):
    """The runs of an export, and how they are written."""

    format: Literal["ndjson", "csv"] = Field("ndjson", description="A line of JSON for each run, or a table.")


@router.get(
    "/export/runs",
    dependencies=[may_read],
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/x-ndjson": {}, "text/csv": {}}, "description": "A run a line."},
        **refusals(*NO_ACCESS, Kind.INVALID_REQUEST, Kind.STORE_AWAY),
    },
)
async def export_runs(store: WithStore, filter: Annotated[Exported, Query()]) -> StreamingResponse:
    """The runs that match every given condition, newest first, as GET /runs has them: a hundred thousand at most.

    For older ones, ask again with `to_ms` of the last one.
    """
    wanted = filter.selection()
    # Awaited here, so that an absent store is an error and not the end of a file.
    first = await store.page(wanted, limit=_PAGE)
    pages = _pages(store, wanted, first)
    if filter.format == "csv":
        return StreamingResponse(_as_csv(pages), media_type="text/csv; charset=utf-8")
    return StreamingResponse(_as_lines(pages), media_type="application/x-ndjson")


async def _pages(store: RunStore, wanted: RunFilter, page: RunPage) -> AsyncIterator[Sequence[RunLine]]:
    """One page after the other: no more than one is in memory."""
    left = _MOST
    while True:
        yield page.runs[:left]
        left -= len(page.runs)
        if page.next is None or left <= 0:
            return
        page = await store.page(wanted, limit=_PAGE, after=page.next)


async def _as_lines(pages: AsyncIterator[Sequence[RunLine]]) -> AsyncIterator[bytes]:
    async for runs in pages:
        yield b"".join(msgspec.json.encode(_line(run)) + b"\n" for run in runs)


async def _as_csv(pages: AsyncIterator[Sequence[RunLine]]) -> AsyncIterator[bytes]:
    yield _rows([_COLUMNS])
    async for runs in pages:
        yield _rows(_cells(run) for run in runs)


def _line(run: RunLine) -> RunLine:
    """Without what only the store's own shape of a run has."""
    given = {field.name: getattr(run, field.name) for field in fields(RunLine)}
    failure = FailureLine(kind=run.failure.kind, text=run.failure.text) if run.failure else None
    return RunLine(**{**given, "failure": failure})


def _cells(run: RunLine) -> Sequence[str]:
    failure = run.failure
    took_s = f"{(run.finished_ms - run.accepted_ms) / 1000:.3f}" if run.finished_ms else ""
    times = map(_time, (run.accepted_ms, run.updated_ms, run.finished_ms))
    error = (failure.kind, failure.text) if failure else ("", "")
    return [run.id, run.pipeline, run.state, run.stage, *times, took_s, *error, " ".join(run.tags)]


def _time(at_ms: int | None) -> str:
    """In UTC; empty for none, and for one of a damaged record."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds") if at_ms else ""
    except (OverflowError, OSError, ValueError):
        return ""


def _rows(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([_harmless(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8", "replace")


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
