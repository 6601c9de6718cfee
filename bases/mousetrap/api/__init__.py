"""The HTTP edge: starts runs, shows them, follows them live, stops and repairs them."""

from mousetrap.api.app import create_app
from mousetrap.api.main import main

__all__ = ["create_app", "main"]
