"""Gives every peer the same command line and the same end."""

import json
import sys
import time
from collections.abc import Callable

from benchmarks.contending import Counts, Order


class IdleRuns:
    """Times one run after another, from before its submission until the last handler has run."""

    def __init__(self, order: Order) -> None:
        self._counts = Counts(order.counts)
        self._done = self._counts.read().last_stage
        self._before = 0
        self.took: list[float] = []

    def submitting(self) -> None:
        """The next run is about to be submitted."""
        time.sleep(0.002)  # so that no end of a run meets the next
        self._before = time.monotonic_ns()

    def wait(self) -> None:
        """Returns once the run has ended. Blocks on purpose: the submitter has nothing else to do."""
        self._done += 1
        while (tally := self._counts.read()).last_stage < self._done:
            time.sleep(0.0002)
        self.took.append((tally.newest - self._before) / 1e6)


def answer(
    *,
    work: Callable[[], None],
    submit: Callable[[int], None],
    latency: Callable[[int], list[float]] | None = None,
    left: Callable[[], int] | None = None,
) -> None:
    """Does what this process was called for."""
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "work":
        work()
    elif command == "submit":
        submit(int(arguments[0]))
    elif command == "latency" and latency is not None:
        print(json.dumps({"last handler": latency(int(arguments[0]))}))
    elif command == "left" and left is not None:
        print(left())
    else:
        sys.exit(f"there is no command {command}")
