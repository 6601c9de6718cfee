"""Shows how a run ended: its result, as tables where we know its pipeline, or why it failed."""

import msgspec
from rich.console import RenderableType
from rich.syntax import Syntax

from mousetrap.api_client import Run
from mousetrap.cli.summary_tables import summary_tables
from mousetrap.cli.tables import failure_text
from mousetrap.earthquakes import EARTHQUAKES, Summary


def result_of(run: Run) -> RenderableType:
    """What an ended run came to."""
    if run.state != "completed":
        return failure_text(run.failure)
    if run.pipeline == EARTHQUAKES.name:
        try:
            return summary_tables(msgspec.convert(run.result, Summary))
        except msgspec.ValidationError:
            pass  # an API of another version: its result is shown as it is
    raw = msgspec.json.format(msgspec.json.encode(run.result), indent=2).decode()
    return Syntax(raw, "json", background_color="default")
