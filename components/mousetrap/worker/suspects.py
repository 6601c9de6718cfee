"""Runs suspected crashers exclusively, to attribute a crash to one job."""

import asyncio


class SuspectGate:
    """The door to this worker's handlers: other jobs pass side by side, a suspect alone.

    1. `enter` returns at once while no suspect waits or runs.
    2. A suspect waits until the running jobs have left; from its `enter` on no other job passes.
    3. When it leaves, or is cancelled while it waits, the others pass again.

    Each job that has entered leaves. A job that was cancelled in `enter` has not entered.
    While there is no suspect, which is the usual case, it is enough to count a job in and out.
    """

    def __init__(self) -> None:
        #: The jobs that have entered.
        self.running = 0
        #: The suspects that wait or have entered.
        self.suspects = 0
        #: Set, and replaced, when a job leaves for which others wait.
        self._changed = asyncio.Event()

    async def enter(self, *, suspect: bool) -> None:
        """Returns when the job may run."""
        self.suspects += suspect
        try:
            while self.running if suspect else self.suspects:
                await self._changed.wait()
        except asyncio.CancelledError:
            self.suspects -= suspect
            self._wake()
            raise
        self.running += 1

    def exit(self, *, suspect: bool) -> None:
        """Lets the next job pass."""
        self.running -= 1
        if self.suspects:  # otherwise no job waits
            self.suspects -= suspect
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
