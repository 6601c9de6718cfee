"""The style that all tables share: colours, columns, times and spans."""

from datetime import datetime

from rich import box
from rich.table import Table
from rich.text import Text

COLOURS = {
    "completed": "green",
    "done": "green",
    "finished": "green",
    "ok": "green",
    "failed": "bold red",
    "fail": "bold red",
    "gave_up": "bold red",
    "rejected": "red",
    "cancelled": "yellow",
    "expired": "yellow",
    "redriven": "cyan",
    "retrying": "yellow",
    "handed_back": "yellow",
    "warn": "yellow",
    "running": "cyan",
    "started": "cyan",
    "waiting": "dim",
    "skipped": "yellow",
    "fell back": "yellow",
    "stopped": "yellow",
    "goes on": "cyan",
    "not run": "dim",
    "serving": "green",
    "draining": "yellow",
    "stuck": "bold red",
    "stale": "bold red",
    "unreadable": "bold red",
}


#: Columns that hold numbers and spans.
_NUMBERS = frozenset(
    [
        "after",
        "attempt",
        "dead",
        "done",
        "failed",
        "for",
        "in/min",
        "later",
        "out/min",
        "ready",
        "running",
        "silent",
        "took",
        "waits",
    ]
)


def table_of(*columns: str) -> Table:
    """An empty table of these columns, as all ours look."""
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold"
    )
    for column in columns:
        right = column in _NUMBERS
        narrow = column in (
            "pipeline",
            "queue",
            "what",
            "worker",
        )  # these give way where the terminal is narrow
        table.add_column(column, justify="right" if right else "left", no_wrap=not narrow, overflow="fold")
    return table


def coloured(word: str, rest: str) -> Text:
    return Text(in_words(word), COLOURS.get(word, "")).append(rest)


def in_words(kind: str) -> str:
    """A name of the store as people write it."""
    return kind.replace("_", " ")


def duration(seconds: float) -> str:
    """`0.25 s`, `12.5 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def about(seconds: float) -> str:
    """`12 s`, `4 min`, `3 h`, `5 days`."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def moment(at_ms: int, now: datetime) -> str:
    """In the time zone of `now`; today's without the day, and no year: runs are not kept that long."""
    at = datetime.fromtimestamp(at_ms / 1000, now.tzinfo)
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%m-%d %H:%M}"
