"""What the routes work with, open while the server runs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from mousetrap.dead_letters import DeadLetters, discard_old
from mousetrap.job_queue import open_queue
from mousetrap.jobs import MousetrapError, Queue, StoreUnreachable
from mousetrap.pipeline import Pipeline
from mousetrap.run_store import RunStore, open_store
from mousetrap.settings import Settings
from mousetrap.shutdown import end_tasks
from mousetrap.submit_run import Intake, IntakeBounds, Submitter
from mousetrap.worker_registry import WorkerRegistry, open_registry

#: Seconds that the broker may take to confirm a run: its caller must hear within two.
_CONFIRM = 1.5
#: Seconds between two looks for runs that were recorded and never published.
_LOOK = 30.0
#: Seconds between two looks at what new runs may lead to.
_INTAKE = 5.0

_log = logging.getLogger("mousetrap.api")


@dataclass(frozen=True, slots=True)
class Services:
    """The broker, the store, what starts runs, the dead letters, and the workers."""

    pipelines: Mapping[str, Pipeline]
    queue: Queue
    store: RunStore
    submitter: Submitter
    dead_letters: DeadLetters
    registry: WorkerRegistry
    intake: Intake
    #: What an empty body means, by pipeline; nothing means the defaults of the contract.
    defaults: Mapping[str, bytes]


@asynccontextmanager
async def open_services(
    settings: Settings, pipelines: Mapping[str, Pipeline], inputs: Mapping[str, bytes]
) -> AsyncIterator[Services]:
    """Neither broker nor store need be there yet."""
    queues = [stage.queue for pipeline in pipelines.values() for stage in pipeline.stages]
    async with (
        open_store(
            settings.store_url,
            retention=settings.retention_seconds,
            tls=settings.tls,
            keyring=settings.keyring,
        ) as store,
        open_registry(settings.store_url, tls=settings.tls) as registry,
        open_queue(settings, queues, name="api", deadline=min(_CONFIRM, settings.confirm_seconds)) as queue,
    ):
        submitter = Submitter(store, queue, settings.keyring, pipelines)
        dead_letters = DeadLetters(queue, store, settings.keyring, pipelines)
        intake = Intake(queue, store, pipelines, IntakeBounds(dead_letters=settings.dead_max_length))
        services = Services(pipelines, queue, store, submitter, dead_letters, registry, intake, inputs)
        works = [_republish_for_ever(services), _look_for_ever(intake)]
        if settings.dead_max_age_seconds:
            works.append(_discard_for_ever(dead_letters, settings.dead_max_age_seconds))
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield services
        finally:
            await end_tasks(*tasks)


async def _republish_for_ever(services: Services) -> None:
    """Finishes what an API began that died in the middle of it; several that do so do no harm."""
    away = False
    while True:
        try:
            await services.submitter.republish()
            if away:
                _log.info("the store serves again")
            away = False
        except StoreUnreachable as error:
            if not away:
                _log.warning("waiting for the store: %s. Check that MOUSETRAP_STORE_URL names it", error)
            away = True
        except MousetrapError:
            pass  # the broker is away, and the queue has said so: another time
        await asyncio.sleep(_LOOK)


async def _look_for_ever(intake: Intake) -> None:
    """Keeps the intake up to date."""
    while True:
        await intake.look()
        await asyncio.sleep(_INTAKE)


async def _discard_for_ever(dead_letters: DeadLetters, age: float) -> None:
    """Discards dead letters that have grown old; several that do so do no harm."""
    while True:
        with suppress(MousetrapError):
            await discard_old(dead_letters, age)
        await asyncio.sleep(_LOOK)


def services_of(request: Request) -> Services:
    """What the server of this request works with."""
    services: Services = request.app.state.services
    return services


# Async although nothing is awaited: what is not, the framework calls in a thread, which costs more than all the rest of it.
async def _services(request: Request) -> Services:
    return services_of(request)


async def _store(request: Request) -> RunStore:
    return services_of(request).store


async def _dead_letters(request: Request) -> DeadLetters:
    return services_of(request).dead_letters


async def _registry(request: Request) -> WorkerRegistry:
    return services_of(request).registry


#: For the signatures of routes.
WithServices = Annotated[Services, Depends(_services)]
WithStore = Annotated[RunStore, Depends(_store)]
WithRegistry = Annotated[WorkerRegistry, Depends(_registry)]
WithDeadLetters = Annotated[DeadLetters, Depends(_dead_letters)]
