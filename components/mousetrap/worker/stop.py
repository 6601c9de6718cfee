"""Stop signal: the first call drains, the second stops at once."""

import asyncio


class Stop:
    """Asks a worker to end; set from a signal handler of the event loop, or by a test.

    1. The first `ask` sets `asked`: the worker takes no new jobs and drains.
    2. The worker sets `end_at`, the end of its grace period.
    3. Each further `ask` sets `forced`: the worker hands back the running jobs at once.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.forced = asyncio.Event()
        #: The end of the grace period, on the event loop's clock; None before the drain.
        self.end_at: float | None = None

    def ask(self) -> None:
        """The first call asks for a drain, each further one for an end at once."""
        if self.asked.is_set():
            self.forced.set()
        self.asked.set()
