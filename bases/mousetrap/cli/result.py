"""Shows how a run ended: its result, or why it failed."""

import msgspec
from rich.console import RenderableType
from rich.syntax import Syntax

from mousetrap.catalogue import RENDERERS
from mousetrap.catalogue_entries import load
from mousetrap.cli.tables.runs import failure_text
from mousetrap.cli.tables.style import coloured
from mousetrap.shapes import Run


def result_of(run: Run) -> RenderableType:
    """The result of an ended run, as its pipeline's renderer draws it, else as JSON; or its failure."""
    if run.state != "completed":
        return failure_text(run.failure) if run.failure else coloured(run.state, ": it has no result")
    at = run.result_reference
    if at is not None and run.result is None:
        return f"a result of {at.size} bytes, in the store of payloads as {at.key}"
    renderer = RENDERERS.get(run.pipeline)
    drawn: RenderableType | None = load(renderer)(run.result) if renderer else None
    if drawn is not None:
        return drawn
    raw = msgspec.json.format(msgspec.json.encode(run.result), indent=2).decode()
    return Syntax(raw, "json", background_color="default")
