"""Keeps submissions of one run id in their order."""

import asyncio
from typing import NamedTuple


class Place(NamedTuple):
    """The place of a submission among those of its run id."""

    run_id: str
    #: Set once the one before it has ended; None where none is under way.
    before: asyncio.Event | None
    ended: asyncio.Event


class Order:
    """What is under way of each run id. Of one id, each begins when the one before it has ended; other ids do not wait for it."""

    def __init__(self) -> None:
        self._last: dict[str, asyncio.Event] = {}

    def line_up(self, run_id: str) -> Place:
        """The place after all that were lined up before. It must end, for others may wait."""
        place = Place(run_id, self._last.get(run_id), asyncio.Event())
        self._last[run_id] = place.ended
        return place

    def end(self, place: Place) -> None:
        """Lets the next of its id begin. A second call changes nothing."""
        place.ended.set()
        if self._last.get(place.run_id) is place.ended:
            del self._last[place.run_id]
