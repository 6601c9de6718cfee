"""Bounds how many requests of a lasting kind are served at once."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from mousetrap.api.problems import Kind, Problem


class Room:
    """Room for `most` requests of a kind, `most_each` of one key: their connections last, so some are kept for others."""

    def __init__(self, most: int, kind: Kind, advice: str, most_each: float = math.inf) -> None:
        self._most = most
        self._most_each = most_each
        self._kind = kind
        self._advice = advice
        #: The key's id of each that is served; empty without keys.
        self._served: list[str] = []

    @property
    def count(self) -> int:
        """How many are served."""
        return len(self._served)

    def is_open(self) -> bool:
        """Whether there is room for one more."""
        return len(self._served) < self._most

    def check(self, key: str = "") -> None:
        """Raises Problem where there is no room for one more, of this key."""
        count = len(self._served)
        if count >= self._most:
            raise self._full(f"{count} are served")
        if key and (count := self._served.count(key)) >= self._most_each:
            raise self._full(f"{count} of this key are served, as many as one may have")

    @contextmanager
    def one_more(self, key: str = "") -> Iterator[None]:
        """Counts a request in this block. Raises Problem where there is no room for it."""
        self.check(key)
        self._served.append(key)
        try:
            yield
        finally:
            self._served.remove(key)

    def _full(self, what: str) -> Problem:
        return Problem(self._kind, f"{what}: {self._advice}", headers={"Retry-After": "10"})


def room_for_watchers(most_connections: int) -> Room:
    """Three quarters of the connections, for the clients that follow runs or wait for them."""
    return Room(
        most_connections * 3 // 4,
        Kind.TOO_MANY_WATCHERS,
        "ask GET /runs/ID instead, or raise MOUSETRAP_API_MAX_CONNECTIONS",
    )
