"""Shows a run while it happens: a living table on a terminal, a line for each event elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from mousetrap.cli.progress import Stages, advance, waiting
from mousetrap.cli.tables.runs import event_line, stages_table
from mousetrap.shapes import Event, Progress


@contextmanager
def run_screen(console: Console, stages: tuple[str, ...]) -> Iterator[Callable[[Event | Progress], None]]:
    """A function that shows what is new."""
    with _living(console, waiting(stages)) if console.is_terminal else _lines(console) as show:
        yield show


@contextmanager
def _living(console: Console, stages: Stages) -> Iterator[Callable[[Event | Progress], None]]:
    def show(news: Event | Progress) -> None:
        nonlocal stages
        stages = advance(stages, news)

    with Live(
        get_renderable=lambda: stages_table(stages, time.time()), console=console, refresh_per_second=12
    ):
        yield show


@contextmanager
def _lines(console: Console) -> Iterator[Callable[[Event | Progress], None]]:
    began_ms: int | None = None

    def show(news: Event | Progress) -> None:
        nonlocal began_ms
        if isinstance(news, Event):
            began_ms = news.at_ms if began_ms is None else began_ms
            console.print(event_line(news, began_ms), soft_wrap=True)

    yield show
