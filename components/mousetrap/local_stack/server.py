"""Keeps a stack's embedded server running: one that ended by itself is started again, on a full disk as soon as there is space."""

import threading
import time
from collections.abc import Callable

from mousetrap.embedded_valkey import EmbeddedValkey, EmbeddedValkeyFailed
from mousetrap.local_stack.children import Ended
from mousetrap.local_stack.restarts import PAUSE, Life, ProgramEnded, end_of, next_life

#: What its news and its lines are shown under.
VALKEY = "valkey"
#: Seconds between two looks at a full disk.
_LOOK_S = 1.0


class Server:
    """`ended` gets each end, from a thread; `say` what is done about it; `later` has `start_again` called after some seconds."""

    def __init__(
        self,
        valkey: EmbeddedValkey,
        ended: Callable[[Ended], None],
        say: Callable[[str], None],
        later: Callable[[float], None],
    ) -> None:
        self._valkey = valkey
        self._ended = ended
        self._say = say
        self._later = later
        self._life = Life(time.monotonic())
        self._waits_for_space = False

    def start(self) -> None:
        """Returns once it answers. Raises EmbeddedValkeyFailed."""
        self._valkey.start()
        threading.Thread(target=self._watch, name="the server's end", daemon=True).start()

    def stop(self) -> None:
        """Lets it write its data and end."""
        self._valkey.stop()

    def judge_end(self, code: int) -> None:
        """It ended by itself: says what follows. Raises ProgramEnded when it has died too often."""
        self._judge(f"ended by itself, with {end_of(code)}", self._valkey.last_words())

    def start_again(self) -> None:
        """Starts it, on the same port with the same data, unless its disk is full."""
        if self._waits_for_space:
            if self._valkey.disk_is_full():
                self._later(_LOOK_S)
                return
            self._say("there is space again; starting it")
            self._waits_for_space = False
            self._life = Life(time.monotonic())
        try:
            self.start()
        except EmbeddedValkeyFailed as error:
            self._judge("did not start again", str(error))

    def _judge(self, how: str, why: str) -> None:
        if self._valkey.disk_is_full():
            if not self._waits_for_space:
                self._say(f"{how}: the disk is full; it starts again when there is space")
            self._waits_for_space = True
            self._later(_LOOK_S)
            return
        life = next_life(self._life, 1, time.monotonic())  # whatever its exit code, nobody told it to end
        if life is None:
            raise ProgramEnded(f"the embedded Valkey server {how}: {why}")
        self._life = life
        self._say(f"{how}; starting it again in {PAUSE:g} s")
        self._later(PAUSE)

    def _watch(self) -> None:
        self._ended(Ended(VALKEY, self._valkey.wait()))
