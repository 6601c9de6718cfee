"""A connection to the state store: its client, with bounds on every wait, and its place without the password."""

from mousetrap.store_client.client import address, open_client, reaching, unreachable
from mousetrap.store_client.library import Library

__all__ = ["Library", "address", "open_client", "reaching", "unreachable"]
