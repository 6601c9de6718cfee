"""Follows a run from event to event, across lost connections, until it has ended."""

import time
from collections.abc import Callable, Iterator

from mousetrap.api_client.client import Api
from mousetrap.api_client.errors import Unreachable
from mousetrap.shapes import Event, Progress

#: Seconds before each new try to reach the API; with the last one spent, following has failed.
_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 10.0, 10.0, 10.0)


def follow(api: Api, run_id: str, pause: Callable[[float], None] = time.sleep) -> Iterator[Event | Progress]:
    """What happens to the run from its start, each event once; Api.events' errors, once its patience is spent."""
    after, pauses = "", iter(_PAUSES)
    while True:
        lost = Unreachable(f"the API at {api.url} ends every stream of events before the run has ended")
        try:
            for news in api.events(run_id, after):
                yield news
                pauses = iter(_PAUSES)
                if isinstance(news, Event):
                    after = news.id
                    if news.last:
                        return
        except Unreachable as error:
            lost = error
        if (seconds := next(pauses, None)) is None:
            raise lost
        pause(seconds)
