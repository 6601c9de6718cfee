"""The options of a worker's command line and the settings they override."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One option, for any parser of command lines."""

    option: str
    help: str
    #: Reads the value, where the option has one.
    type: Callable[[str], float] = float
    metavar: str | None = None
    #: The smallest value.
    least: int | None = None


CONCURRENCY = Flag(option="--concurrency", type=int, metavar="N", least=1, help="Jobs that run at once (10).")
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

    concurrency: int | None = None
    prefetch: int | None = None
    auto_kill: float | None = None
    #: Whether to end when the queues are empty.
    burst: bool = False

    def settings(self) -> Mapping[str, str]:
        """The settings that win over the environment's."""
        chosen = {
            "MOUSETRAP_CONCURRENCY": self.concurrency,
            "MOUSETRAP_PREFETCH": self.prefetch,
            "MOUSETRAP_AUTO_KILL_SECONDS": self.auto_kill,
        }
        return {name: str(value) for name, value in chosen.items() if value is not None}


#: Every setting as the environment has it.
NO_FLAGS = WorkerFlags()
