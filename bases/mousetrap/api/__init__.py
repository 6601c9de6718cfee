"""The HTTP edge: starts, shows, follows, stops and repairs runs."""

from mousetrap.api.app import create_app
from mousetrap.api.main import main

__all__ = ["create_app", "main"]
