"""Follows a run to its end, across lost connections."""

import time
from collections.abc import Callable, Iterator

from mousetrap.api_client.client import Api
from mousetrap.api_client.errors import Unreachable
from mousetrap.shapes import Event, Progress

#: Before each try to reconnect; after the last one following has failed. An event starts the series again.
_RECONNECT_DELAYS_S = (0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 10.0, 10.0, 10.0)


def follow(api: Api, run_id: str, sleep: Callable[[float], None] = time.sleep) -> Iterator[Event | Progress]:
    """The run's events from its start, each once. Raises the errors of Api.events, Unreachable after the last try."""
    after, delays = "", iter(_RECONNECT_DELAYS_S)
    while True:
        lost = Unreachable(f"the API at {api.url} ends every stream of events before the run has ended")
        try:
            for event in api.events(run_id, after):
                yield event
                delays = iter(_RECONNECT_DELAYS_S)
                if isinstance(event, Event):
                    after = event.id
                    if event.last:
                        return
        except Unreachable as error:
            lost = error
        if (delay := next(delays, None)) is None:
            raise lost
        sleep(delay)
