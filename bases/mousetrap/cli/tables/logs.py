"""Draws the log lines of a run: pure."""

from collections.abc import Iterator
from datetime import datetime

from rich.text import Text

from mousetrap.shapes import LogLine, LogPage

_COLOURS = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}


def shown(line: LogLine) -> Text:
    """When, how serious, where, what; what follows the first line of a message is indented."""
    at = datetime.fromtimestamp(line.at_ms / 1000).astimezone()
    stage = line.stage if line.attempt == 1 else f"{line.stage}#{line.attempt}"
    first, *more = line.message.split("\n")
    text = Text(f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} ", "dim")
    text.append(f"{line.level:<7} ", _COLOURS.get(line.level, ""))
    text.append(f"{stage} ", "cyan").append(first, _COLOURS.get(line.level, ""))
    text.append(f" ({line.logger})", "dim")
    for each in more:
        text.append(f"\n  {each}", "dim")
    return text


def gone(page: LogPage, run: str, *, is_over: bool) -> Iterator[Text]:
    """What is not there of the run's lines; `is_over`: no more lines are waited for."""
    if page.dropped:
        yield Text(f"{page.dropped:,} earlier lines gave way to these", "dim")
    if page.missed:
        yield Text(f"{page.missed:,} lines could not be kept", "yellow")
    if is_over and not page.lines:
        yield Text(
            f"no such line of run {run}: its handlers logged none from the level MOUSETRAP_RUN_LOGS up, or a day has passed"
        )
