"""Opens the run store, with one face for each of its users."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mousetrap.payloads import PayloadOptions
from mousetrap.run_store.connection import NO_KEYS
from mousetrap.run_store.delayed import Delays
from mousetrap.run_store.endings import Endings
from mousetrap.run_store.fans import Fans
from mousetrap.run_store.limit_states import LimitStates
from mousetrap.run_store.limits import Limits
from mousetrap.run_store.listed_jobs import JobLists
from mousetrap.run_store.repairs import Repairs
from mousetrap.run_store.standing import Standings
from mousetrap.run_store.submissions import Submissions
from mousetrap.run_store.transitions import ENDED
from mousetrap.run_store.work import Work
from mousetrap.signing import Keyring
from mousetrap.store_client import address, open_client


@asynccontextmanager
async def open_store(
    url: str,
    *,
    retention: float,
    keep: int = 65_536,
    tls: ssl.SSLContext | None = None,
    keyring: Keyring = NO_KEYS,
    payloads: PayloadOptions | None = None,
) -> AsyncIterator["RunStore"]:
    """The run store at `url`, which need not be reachable yet; `retention` (seconds) is how long a run is remembered.

    Outputs of at most `keep` bytes stay after they were handed on, for re-runs from a later stage. `keyring` signs what a
    message may be made from later: give it the keys that sign messages. `payloads` is where large payloads are; None for the
    defaults.
    """
    client = open_client(url, tls)
    store = RunStore(client, address(url), retention, keep, keyring, payloads)
    try:
        yield store
    finally:
        await store.close()


class RunStore(Submissions, Repairs, Endings, Fans, JobLists, Standings, Delays, Limits, LimitStates, Work):
    """Every method raises StoreUnreachable when the server does not answer within two seconds."""

    async def close(self) -> None:
        """Sends the remaining notes and closes the connections."""
        if self._noting:
            await asyncio.wait(set(self._noting))
        await self._withdrawals.close()
        await self._packed_work.close()
        await self._packed_runs.close()
        await self._batches.close()
        await self._changes.close()
        await self._ends.close()
        await self.payloads.close()
        await self._client.close()

    async def check(self) -> None:
        """Returns if the server accepts transitions now, which a full one does not."""
        await self._batches.call((ENDED,))
