"""A connection to the state store: its client, with bounds on every wait, and its place without the password."""

from mousetrap.store_client.client import address, open_client, reaching, unreachable

__all__ = ["address", "open_client", "reaching", "unreachable"]
