"""Shows a run while it happens, as a table or as lines."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from mousetrap.cli.progress import Stages, advance
from mousetrap.cli.tables.runs import event_line, progress_line, stages_table
from mousetrap.shapes import Event, Progress


@contextmanager
def run_screen(console: Console, stages: Stages) -> Iterator[Callable[[Event | Progress], None]]:
    """A function that shows an event: in a table that is drawn again, or as a line where there is no terminal."""
    with _live_table(console, stages) if console.is_terminal else _lines(console, stages) as show:
        yield show


@contextmanager
def _live_table(console: Console, stages: Stages) -> Iterator[Callable[[Event | Progress], None]]:
    def show(event: Event | Progress) -> None:
        nonlocal stages
        stages = advance(stages, event)

    with Live(
        get_renderable=lambda: stages_table(stages, time.time()), console=console, refresh_per_second=12
    ):
        yield show


@contextmanager
def _lines(console: Console, stages: Stages) -> Iterator[Callable[[Event | Progress], None]]:
    began_ms: int | None = None
    tenth = 0

    def show(event: Event | Progress) -> None:
        nonlocal began_ms, tenth
        if isinstance(event, Event):
            began_ms = event.at_ms if began_ms is None else began_ms
            console.print(event_line(event, began_ms), soft_wrap=True)
        elif (
            event.lost is not None and event.total and tenth != (tenth := int(10 * event.done / event.total))
        ):
            console.print(progress_line(stages, event), soft_wrap=True)

    yield show
