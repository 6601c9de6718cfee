"""Connects the faces of the run store to its server."""

import asyncio
from functools import partial

from mousetrap.payloads import PayloadOptions, StoreBackend, open_payloads
from mousetrap.run_store.batches import Batches, NothingOlder
from mousetrap.run_store.notifications import ENDS, Notifications
from mousetrap.run_store.packed.naming import Naming
from mousetrap.run_store.packed.runs import PackedRuns
from mousetrap.run_store.packed.sender import Sender
from mousetrap.run_store.packed.withdrawals import Withdrawals
from mousetrap.run_store.packed.work import PackedWork
from mousetrap.run_store.reader import RunReader
from mousetrap.signing import Keyring
from mousetrap.store_client import StoreClient

NO_KEYS = Keyring()


class StoreConnection(RunReader):
    """What all faces of the run store share: the client, the batches, the keys, and how long a run is kept."""

    def __init__(
        self,
        client: StoreClient,
        address: str,
        retention: float,
        keep: int,
        keyring: Keyring = NO_KEYS,
        payloads: PayloadOptions | None = None,
    ) -> None:
        in_store = partial(StoreBackend, client, address, retention)
        super().__init__(client, address, retention, open_payloads(payloads or PayloadOptions(), in_store))
        self._ttl = int(retention * 1000)
        self._keep = keep
        self._keyring = keyring
        self._batches = (NothingOlder if client.is_cluster else Batches)(client, address)
        self._sender = Sender(client, address, _loop_time)
        naming = Naming(self._sender, self._ttl)
        self._packed_runs = PackedRuns(self._sender, naming, self._ttl)
        self._withdrawals = Withdrawals(self._packed_runs)
        self._packed_work = PackedWork(self._sender, naming, keyring, self._ttl, keep)
        self._ends = Notifications(client, ENDS)
        #: Notes under way, for which no caller waits.
        self._noting: set[asyncio.Task[None]] = set()


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
