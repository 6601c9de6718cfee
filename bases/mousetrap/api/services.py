"""Opens the services that the routes share; closes them at shutdown."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from secrets import token_hex
from typing import Annotated

from fastapi import Depends, Request

from mousetrap.api.audit import note_end
from mousetrap.api.queue_facts import QueueFacts
from mousetrap.api.records import Records
from mousetrap.audit_trail import AuditTrail, open_trail
from mousetrap.control import Control
from mousetrap.dead_letters import DeadLetters
from mousetrap.housekeeping import Duty, discard_duty, intake_duty, republish_duty, run_duties, sweep_duty
from mousetrap.job_queue import open_queue
from mousetrap.jobs import Queue
from mousetrap.known_pipelines import KnownPipelines
from mousetrap.letter_notes import LetterNotes, open_notes
from mousetrap.operations import (
    CancelRuns,
    Carrier,
    Kind,
    Operations,
    RedriveLetters,
    RerunRuns,
    open_operations,
)
from mousetrap.payloads import PayloadOptions
from mousetrap.run_logs import LogReader, open_log_reader
from mousetrap.run_store import RunStore, open_store
from mousetrap.scheduler import Scheduler, Schedules, open_schedules
from mousetrap.schedules import Schedule
from mousetrap.sessions import Sessions, open_sessions
from mousetrap.settings import Settings
from mousetrap.shapes import BEAT_S
from mousetrap.submit_run import Intake, IntakeBounds, Submitter
from mousetrap.worker_registry import WorkerRegistry, open_registry

#: The broker's time to confirm a run: its caller gets an answer within two seconds.
_CONFIRM_TIMEOUT_S = 1.5
#: Between two looks for operations that no API carries on, and for schedules that are due.
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Services:
    """The services that the routes share."""

    pipelines: KnownPipelines
    queue: Queue
    store: RunStore
    submitter: Submitter
    dead_letters: DeadLetters
    registry: WorkerRegistry
    intake: Intake
    #: What an empty body means, by pipeline; nothing means the defaults of the contract.
    defaults: Mapping[str, bytes]
    records: Records
    trail: AuditTrail
    logs: LogReader
    #: Where a trace is shown, by `{trace_id}`; empty for nowhere.
    trace_url: str
    queue_facts: QueueFacts
    operations: Operations
    carrier: Carrier
    sessions: Sessions
    control: Control
    notes: LetterNotes
    schedules: Schedules
    scheduler: Scheduler


@dataclass(frozen=True, slots=True)
class _AtStore:
    """What is kept at the address of the store, each with connections of its own."""

    runs: RunStore
    registry: WorkerRegistry
    control: Control
    trail: AuditTrail
    logs: LogReader
    sessions: Sessions
    notes: LetterNotes
    operations: Operations
    schedules: Schedules


@asynccontextmanager
async def open_services(
    settings: Settings,
    pipelines: KnownPipelines,
    inputs: Mapping[str, bytes],
    records: Mapping[str, str],
    declared: Sequence[Schedule] = (),
) -> AsyncIterator[Services]:
    """The services, and the periodic duties, while the block is open. Broker and store need not be reachable yet."""
    queues = [stage.queue for pipeline in pipelines.values() for stage in pipeline.stages]
    deadline = min(_CONFIRM_TIMEOUT_S, settings.confirm_seconds)
    async with (
        _open_stores(settings) as at_store,
        open_queue(settings, queues, name="api", deadline=deadline) as queue,
        aclosing(Records(records, settings)) as opened,
        AsyncExitStack() as exits,
    ):
        services = _services_over(settings, pipelines, at_store, queue, (inputs, opened, declared))
        exits.push_async_callback(services.queue_facts.aclose)
        exits.push_async_callback(services.carrier.close)
        async with run_duties(_duties(services, settings)):
            yield services


@asynccontextmanager
async def _open_stores(settings: Settings) -> AsyncIterator[_AtStore]:
    url, tls, keyring = settings.store_url, settings.tls, settings.keyring
    kept_s, payloads = settings.retention_seconds, PayloadOptions.of(settings)
    async with (
        open_store(url, retention=kept_s, tls=tls, keyring=keyring, payloads=payloads) as runs,
        open_registry(url, tls=tls) as registry,
        open_trail(url, tls=tls) as trail,
        open_log_reader(url, tls=tls) as logs,
        open_sessions(url, tls=tls) as sessions,
        open_notes(url, tls=tls) as notes,
        open_operations(url, retention=kept_s, keyring=keyring, tls=tls) as operations,
        open_schedules(url, keyring=keyring, tls=tls) as schedules,
    ):
        control = Control(registry.client, registry.place, keyring)
        yield _AtStore(runs, registry, control, trail, logs, sessions, notes, operations, schedules)


def _services_over(
    settings: Settings,
    pipelines: KnownPipelines,
    at_store: _AtStore,
    queue: Queue,
    given: tuple[Mapping[str, bytes], Records, Sequence[Schedule]],
) -> Services:
    """The services over these stores and this queue; `given` are inputs, records and declared schedules."""
    inputs, records, declared = given
    store, schedules = at_store.runs, at_store.schedules
    submitter = Submitter(store, queue, settings.keyring, pipelines)
    dead_letters = DeadLetters(queue, store, settings.keyring, pipelines)
    intake = Intake(queue, store, pipelines, IntakeBounds(dead_letters=settings.dead_max_length))
    kinds: Mapping[str, Kind] = {
        "redrive": RedriveLetters(dead_letters, store),
        "cancel": CancelRuns(store),
        "rerun": RerunRuns(store, submitter, intake, pipelines),
    }
    on_end = partial(note_end, at_store.trail)
    return Services(
        pipelines=pipelines,
        queue=queue,
        store=store,
        submitter=submitter,
        dead_letters=dead_letters,
        registry=at_store.registry,
        intake=intake,
        defaults=inputs,
        records=records,
        trail=at_store.trail,
        logs=at_store.logs,
        trace_url=settings.trace_url,
        queue_facts=QueueFacts(pipelines, queue, store, at_store.registry, at_store.control),
        operations=at_store.operations,
        carrier=Carrier(at_store.operations, kinds, token_hex(8), on_end=on_end),
        sessions=at_store.sessions,
        control=at_store.control,
        notes=at_store.notes,
        schedules=schedules,
        scheduler=Scheduler(
            schedules,
            store,
            submitter,
            pipelines,
            intake=intake,
            defaults=inputs,
            declared=declared,
            published=lambda: pipelines.schedules,
        ),
    )


def _duties(services: Services, settings: Settings) -> list[Duty]:
    """What is done again and again while the API runs."""
    duties = [
        republish_duty(services.submitter),
        intake_duty(services.intake),
        sweep_duty(services.store, settings.retention_seconds),
        Duty(BEAT_S, lambda: services.pipelines.refresh(services.registry)),
        Duty(_LOOK_S, services.carrier.look),
        Duty(_LOOK_S, services.scheduler.look),
    ]
    if settings.dead_max_age_seconds:
        duties.append(discard_duty(services.dead_letters, settings.dead_max_age_seconds))
    return duties


# Async although nothing is awaited: the framework calls a plain function in a thread, which costs more than the rest.
async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


WithServices = Annotated[Services, Depends(_services)]


async def _store(services: WithServices) -> RunStore:
    return services.store


async def _dead_letters(services: WithServices) -> DeadLetters:
    return services.dead_letters


async def _registry(services: WithServices) -> WorkerRegistry:
    return services.registry


async def _queue_facts(services: WithServices) -> QueueFacts:
    return services.queue_facts


async def _trail(services: WithServices) -> AuditTrail:
    return services.trail


async def _notes(services: WithServices) -> LetterNotes:
    return services.notes


async def _operations(services: WithServices) -> Operations:
    return services.operations


async def _schedules(services: WithServices) -> Schedules:
    return services.schedules


#: For the signatures of routes.
WithSchedules = Annotated[Schedules, Depends(_schedules)]
WithQueueFacts = Annotated[QueueFacts, Depends(_queue_facts)]
WithOperations = Annotated[Operations, Depends(_operations)]
WithNotes = Annotated[LetterNotes, Depends(_notes)]
WithTrail = Annotated[AuditTrail, Depends(_trail)]
WithStore = Annotated[RunStore, Depends(_store)]
WithRegistry = Annotated[WorkerRegistry, Depends(_registry)]
WithDeadLetters = Annotated[DeadLetters, Depends(_dead_letters)]
