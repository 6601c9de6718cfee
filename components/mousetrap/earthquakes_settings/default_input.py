"""Makes the inputs of runs from an empty body."""

import msgspec

from mousetrap.earthquakes import default_feeds, default_request
from mousetrap.earthquakes_settings.groups import FEED
from mousetrap.settings import Settings


def default_input(settings: Settings) -> bytes:
    """Written into the run, so that it shows which feed was read, and a re-run reads the same one."""
    return msgspec.json.encode(default_request(settings.of(FEED).url))


def default_feeds_input(settings: Settings) -> bytes:
    """The same of a run that reads several feeds."""
    return msgspec.json.encode(default_feeds(settings.of(FEED).urls))
