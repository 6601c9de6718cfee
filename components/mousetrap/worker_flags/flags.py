"""The options of a worker's command line and the settings they override."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

#: Options of other task queues' commands, and what each is here.
OTHER_OPTIONS = {
    "--max-running-tasks": "--concurrency",
    "--queue-fetch-limit": "--prefetch",
    "--metrics-server": "MOUSETRAP_HEALTH_PORT with MOUSETRAP_METRICS=true",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One option, for any parser of command lines."""

    option: str
    help: str
    #: Reads the value, where the option has one.
    type: Callable[[str], Any] = float
    metavar: str | None = None
    #: The smallest value.
    least: int | None = None


class Span(NamedTuple):
    """How many jobs run at once: at least, and up to so many while jobs wait; 0 for never more."""

    least: int
    most: int = 0

    @classmethod
    def parse(cls, text: str) -> "Span":
        """The span written as `4` or `2..50`. Raises ValueError."""
        least, dots, most = text.partition("..")
        try:
            span = cls(int(least), int(most) if dots else 0)
        except ValueError:
            span = cls(0)
        if span.least < 1 or (dots and span.most < span.least):
            raise ValueError("write a number from 1 on, as 4, or the least and the most, as 2..50")
        return span

    def __str__(self) -> str:
        return f"{self.least}..{self.most}" if self.most else str(self.least)


CONCURRENCY = Flag(
    option="--concurrency",
    type=Span.parse,
    metavar="N",
    help="Jobs that run at once (10), or as 2..50 the least and the most: more while jobs wait.",
)
PREFETCH = Flag(
    option="--prefetch",
    type=int,
    metavar="N",
    least=0,
    help="Jobs held, running or waiting to (twice the concurrency).",
)
AUTO_KILL = Flag(
    option="--auto-kill-timeout",
    type=float,
    metavar="SECONDS",
    least=2,
    help="How long the event loop may be blocked, or a handler go on that was asked to stop, before this process ends (60).",
)
PROCESSES = Flag(
    option="--processes",
    type=int,
    metavar="N",
    least=1,
    help="Processes, each with that concurrency (1); one that dies is started again.",
)
RELOAD = Flag(
    option="--reload", help="Start again when a Python file here changes, once what runs is finished."
)
BURST = Flag(option="--burst", help="End when the queues are empty.")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFlags:
    """The chosen options; None leaves the setting as it is."""

    concurrency: Span | None = None
    prefetch: int | None = None
    auto_kill: float | None = None
    #: Whether to end when the queues are empty.
    burst: bool = False

    def settings(self) -> Mapping[str, str]:
        """The settings that win over the environment's."""
        chosen = {
            "MOUSETRAP_CONCURRENCY": self.concurrency and self.concurrency.least,
            "MOUSETRAP_CONCURRENCY_MOST": self.concurrency and self.concurrency.most,
            "MOUSETRAP_PREFETCH": self.prefetch,
            "MOUSETRAP_AUTO_KILL_SECONDS": self.auto_kill,
        }
        return {name: str(value) for name, value in chosen.items() if value is not None}


#: Every setting as the environment has it.
NO_FLAGS = WorkerFlags()
