"""Counts on from the server's time, and never backwards."""

import re
from collections.abc import Callable

#: The share of the passed time by which a clock that is ahead comes closer to the server's, as in `lua/clock.lua`.
_CATCH_UP = 0.1
#: A clock that leapt further and came back is not followed for years.
_MOST_AHEAD_S = 86_400.0
_NOTE = re.compile(rb"(\d{1,15}) (\d{1,15})")


class ServerTime:
    """The time of plain commands.

    Where the server's clock is set back, it continues from where it was, a tenth slower until the two agree: as the clock of the
    Lua functions does, so that both judge a claim alike.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._offset_s: float | None = None
        self._measured_at_s = 0.0

    def now_ms(self) -> int:
        """In milliseconds since 1970; of this machine's clock alone before the first measurement."""
        return int((self._clock() + (self._offset_s or 0.0)) * 1000)

    def measure(self, server_s: float) -> None:
        """The server's clock shows this now."""
        now = self._clock()
        offset = server_s - now
        if self._offset_s is not None:
            offset = max(offset, self._offset_s - _CATCH_UP * (now - self._measured_at_s))
        self._offset_s, self._measured_at_s = offset, now

    def follow(self, note: bytes) -> None:
        """Continues from what the Lua functions noted of their clock: the server's time then, and how far theirs was ahead."""
        found = _NOTE.fullmatch(note)
        if found is None or self._offset_s is None:
            return
        noted_s, ahead_s = (int(each) / 1000 for each in found.groups())
        passed_s = self._clock() + self._offset_s - noted_s
        ahead_s = ahead_s - passed_s if passed_s < 0 else max(0.0, ahead_s - _CATCH_UP * passed_s)
        self._offset_s += min(ahead_s, _MOST_AHEAD_S)
