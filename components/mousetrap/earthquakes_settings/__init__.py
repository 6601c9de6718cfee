"""The example's settings, and the input that follows from them."""

from mousetrap.earthquakes_settings.default_input import default_input
from mousetrap.earthquakes_settings.groups import DATABASE, FEED, FETCH

__all__ = ["DATABASE", "FEED", "FETCH", "default_input"]
