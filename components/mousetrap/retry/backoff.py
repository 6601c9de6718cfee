"""Backoff with jitter, for everything that reconnects."""

from dataclasses import dataclass

_MAX_DOUBLINGS = 64  # beyond this a float is far past any limit, and 2**n would only grow


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double with each failure; chance shortens them, so that many clients do not return together."""

    #: Seconds; the pause after the first failure, before chance shortens it.
    first_s: float
    #: Seconds; no pause is longer.
    longest_s: float
    #: The part of a pause that chance can remove: 1 for a pause between zero and the whole ("full jitter").
    jitter: float = 0.5

    def pause(self, failures: int, chance: float) -> float:
        """The seconds to wait after so many failures in a row; `chance` is in [0, 1)."""
        return doubled(self.first_s, self.longest_s, failures - 1) * (1 - self.jitter * chance)


def doubled(first_s: float, longest_s: float, times: int) -> float:
    """`first_s` doubled so many times, at most `longest_s`."""
    return min(longest_s, first_s * 2.0 ** max(0, min(times, _MAX_DOUBLINGS)))
