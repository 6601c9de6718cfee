"""Opens what operators ask of queues, as workers read it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chaos.workload import SIGNING_KEYS
from mousetrap.control import Control
from mousetrap.signing import Keyring
from mousetrap.store_client import address, open_client


@asynccontextmanager
async def open_control(store_url: str) -> AsyncIterator[Control]:
    client = open_client(store_url, None)
    try:
        yield Control(client, address(store_url), Keyring.parse(SIGNING_KEYS))
    finally:
        await client.close()
