"""What the routes work with, open while the server runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from mousetrap.catalogue import PIPELINES
from mousetrap.job_queue import open_queue
from mousetrap.jobs import Queue
from mousetrap.run_store import RunStore, open_store
from mousetrap.settings import Settings
from mousetrap.signing import Keyring

#: Seconds that the broker may take to confirm a run: its caller must hear within two.
_CONFIRM = 1.5


@dataclass(frozen=True, slots=True)
class Services:
    """The broker, the store, and the keys that messages are signed with."""

    queue: Queue
    store: RunStore
    keyring: Keyring


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Neither broker nor store need be there yet."""
    queues = [stage.queue for pipeline in PIPELINES.values() for stage in pipeline.stages]
    async with (
        open_store(settings.store_url, retention=settings.retention_seconds, tls=settings.tls) as store,
        open_queue(settings, queues, name="api", deadline=min(_CONFIRM, settings.confirm_seconds)) as queue,
    ):
        yield Services(queue, store, settings.keyring)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def _store(request: Request) -> RunStore:
    return _services(request).store


#: For the signatures of routes.
WithServices = Annotated[Services, Depends(_services)]
WithStore = Annotated[RunStore, Depends(_store)]
