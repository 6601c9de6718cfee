"""The example's settings, and the input that follows from them."""

from mousetrap.earthquakes_settings.default_input import default_input

__all__ = ["default_input"]
