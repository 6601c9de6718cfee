"""Restarts a stack's embedded server when it ended by itself."""

import threading
import time
from collections.abc import Callable

from mousetrap.embedded_valkey import EmbeddedValkey, EmbeddedValkeyFailed
from mousetrap.local_stack.children import Ended
from mousetrap.local_stack.restarts import RESTART_DELAY_S, ProgramEnded, Start, end_of, next_start

#: The name of the server among the stack's processes.
VALKEY = "valkey"
_DISK_POLL_S = 1.0


class Server:
    """The embedded server of a stack. On a full disk it is restarted as soon as there is space.

    `on_end` gets each end, from a thread; `on_line` what is done about it; `restart_later` has `restart` called after some
    seconds.
    """

    def __init__(
        self,
        valkey: EmbeddedValkey,
        on_end: Callable[[Ended], None],
        on_line: Callable[[str], None],
        restart_later: Callable[[float], None],
    ) -> None:
        self._valkey = valkey
        self._on_end = on_end
        self._on_line = on_line
        self._restart_later = restart_later
        self._start = Start(time.monotonic())
        self._disk_full = False

    def start(self) -> None:
        """Returns once it answers. Raises EmbeddedValkeyFailed."""
        self._valkey.start()
        threading.Thread(target=self._wait, name="the server's end", daemon=True).start()

    def handle_end(self, code: int) -> None:
        """Restarts it later. Raises ProgramEnded when it has ended too often."""
        self._handle(f"ended by itself, with {end_of(code)}", self._valkey.end_of_log())

    def restart(self) -> None:
        """Starts it, on the same port with the same data, unless its disk is full."""
        if self._disk_full:
            if self._valkey.disk_is_full():
                self._restart_later(_DISK_POLL_S)
                return
            self._on_line("there is space again; starting it")
            self._disk_full = False
            self._start = Start(time.monotonic())
        try:
            self.start()
        except EmbeddedValkeyFailed as error:
            self._handle("did not start again", str(error))

    def _handle(self, what: str, why: str) -> None:
        if self._valkey.disk_is_full():
            if not self._disk_full:
                self._on_line(f"{what}: the disk is full; it starts again when there is space")
            self._disk_full = True
            self._restart_later(_DISK_POLL_S)
            return
        start = next_start(
            self._start, 1, time.monotonic()
        )  # whatever its exit code: nothing asked it to end
        if start is None:
            raise ProgramEnded(f"the embedded Valkey server {what}: {why}")
        self._start = start
        self._on_line(f"{what}; starting it again in {RESTART_DELAY_S:g} s")
        self._restart_later(RESTART_DELAY_S)

    def _wait(self) -> None:
        self._on_end(Ended(VALKEY, self._valkey.wait()))
