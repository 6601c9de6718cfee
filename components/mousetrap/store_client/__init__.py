"""The client of the state store, with timeouts, errors and Lua libraries."""

from mousetrap.store_client.client import address, open_client, reaching, unreachable
from mousetrap.store_client.library import Library

__all__ = ["Library", "address", "open_client", "reaching", "unreachable"]
