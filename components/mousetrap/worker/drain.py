"""The wish that a worker end: first gently, then, asked a second time, at once."""

import asyncio


class Stop:
    """Set from a signal handler of the event loop; a worker looks at nothing else to know when to end."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.forced = asyncio.Event()
        #: When the time to finish is over, on the event loop's clock; None before the drain.
        self.end_at: float | None = None

    def ask(self) -> None:
        """The first call asks for a drain, each further one for an end at once."""
        if self.asked.is_set():
            self.forced.set()
        self.asked.set()
