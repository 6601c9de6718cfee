"""Draws queues as a table: pure."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from mousetrap.cli.tables.style import about, table_of
from mousetrap.shapes import Pause, Queue


def queues_table(queues: Sequence[Queue]) -> RenderableType:
    """What each queue holds, how many jobs of it may run, how long the oldest waits, and how many come and go in a minute."""
    table = table_of("queue", "ready", "running", "later", "dead", "waits", "in/min", "out/min")
    for queue in queues:
        table.add_row(
            _name(queue),
            Text("missing", "bold red") if queue.missing else str(queue.ready),
            f"{queue.running} of {queue.slots}",
            str(queue.delayed),
            Text(str(queue.dead), "bold red" if queue.dead else ""),
            about(queue.oldest_seconds) if queue.ready else "",
            _rate(queue.in_per_minute),
            _rate(queue.out_per_minute),
        )
    if not queues:
        return "no queues: no pipeline is known here. Start a worker with `mousetrap worker TARGET`"
    alone = [queue for queue in queues if not queue.workers and queue.ready]
    lines = [_paused(queue.name, queue.paused) for queue in queues if queue.paused is not None]
    lines += [
        Text.assemble((f"{queue.name} has no worker", "bold red"), f": {queue.ready} wait") for queue in alone
    ]
    return Group(table, Text(), *lines) if lines else table


def _name(queue: Queue) -> Text:
    return Text(queue.name, "bold yellow" if queue.paused else "")


def _paused(name: str, pause: Pause) -> Text:
    because = f": {pause.why}" if pause.why else ""
    return Text.assemble((f"{name} is paused", "bold yellow"), f" by {pause.who}{because}")


def _rate(number: float | None) -> str:
    if number is None:
        return "?"
    return f"{number:.0f}" if number >= 10 or number == 0 else f"{number:.1f}"
