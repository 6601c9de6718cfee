"""Bounds how often each caller may call, in bounded memory."""

from collections import OrderedDict

#: Callers that are remembered; of more, those that called last.
_MAX_CALLERS = 10_000


class Rates:
    """`rate` calls a second for each caller, and `burst` of them at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._interval_s = 1 / rate
        self._ahead_s = burst / rate
        #: By caller: when its calls would all have been paid for.
        self._paid: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, caller: str, now: float) -> float:
        """0 for a call that may be made, which is counted then; else the seconds until one may be."""
        due = max(now, self._paid.get(caller, now)) + self._interval_s
        if (wait := due - now - self._ahead_s) > 1e-9:
            return wait
        self._paid[caller] = due
        self._paid.move_to_end(caller)
        if len(self._paid) > _MAX_CALLERS:
            self._paid.popitem(last=False)
        return 0.0
