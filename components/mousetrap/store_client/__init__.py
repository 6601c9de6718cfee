"""The client of the state store, with timeouts, errors and Lua libraries."""

from mousetrap.store_client.address import Address
from mousetrap.store_client.blocking import ask_blocking
from mousetrap.store_client.client import StoreClient
from mousetrap.store_client.connection import Command, Connection, Server, Word, packed
from mousetrap.store_client.errors import ConnectionLost, ReplyError, reaching, unreachable
from mousetrap.store_client.library import Library
from mousetrap.store_client.opening import address, open_client

__all__ = [
    "Address",
    "Command",
    "Connection",
    "ConnectionLost",
    "Library",
    "ReplyError",
    "Server",
    "StoreClient",
    "Word",
    "address",
    "ask_blocking",
    "open_client",
    "packed",
    "reaching",
    "unreachable",
]
