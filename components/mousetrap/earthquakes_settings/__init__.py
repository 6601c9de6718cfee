"""The example's settings, and the inputs that follow from them."""

from mousetrap.earthquakes_settings.default_input import default_feeds_input, default_input
from mousetrap.earthquakes_settings.groups import DATABASE, FEED, FETCH

__all__ = ["DATABASE", "FEED", "FETCH", "default_feeds_input", "default_input"]
