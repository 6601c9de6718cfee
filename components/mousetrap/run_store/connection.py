"""Connects the faces of the run store to its server."""

import msgspec
from redis.asyncio import Redis

from mousetrap.run_store.batches import Batches
from mousetrap.run_store.reader import RunReader
from mousetrap.signing import Keyring

NO_KEYS = Keyring()


class StoreConnection(RunReader):
    """What all faces of the run store share: the client, the batches, the keys, and how long a run is kept."""

    def __init__(
        self, client: Redis, address: str, retention: float, keep: int, keyring: Keyring = NO_KEYS
    ) -> None:
        super().__init__(client, address, retention)
        self._ttl = int(retention * 1000)
        self._keep = keep
        self._keyring = keyring
        self._batches = Batches(client, address)


def text_of(value: object) -> str:
    """JSON as text: the server's msgpack knows texts, not byte strings."""
    return msgspec.json.encode(value).decode()
