"""Pauses and resumes queues, and drains and stops workers."""

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path

from mousetrap import shapes
from mousetrap.api.access import may_operate
from mousetrap.api.audit import Audit, WithAudit
from mousetrap.api.known import KnownQueue
from mousetrap.api.problems import NO_ACCESS, Kind, Problem, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithRegistry, WithServices
from mousetrap.control import Control

router = APIRouter(route_class=Route)
_OF_QUEUE = refusals(*NO_ACCESS, Kind.UNKNOWN_QUEUE, Kind.INVALID_REQUEST, Kind.STORE_AWAY)
_OF_WORKER = refusals(*NO_ACCESS, Kind.UNKNOWN_WORKER, Kind.INVALID_REQUEST, Kind.STORE_AWAY)


async def _control(services: WithServices) -> Control:
    return services.control


WithControl = Annotated[Control, Depends(_control)]


async def _live(
    worker: Annotated[str, Path(max_length=300, examples=["host-4711-9f3c"])], registry: WithRegistry
) -> tuple[str, frozenset[str]]:
    """The worker, and all that are listed. Raises Problem where it is not one of them."""
    names = frozenset(it.name for it in await registry.workers())
    if worker not in names:
        raise Problem(
            Kind.UNKNOWN_WORKER, "GET /workers lists those that beat; one that stopped in order has left"
        )
    return worker, names


LiveWorker = Annotated[tuple[str, frozenset[str]], Depends(_live)]


@router.post("/queues/{queue}/pause", tags=["queues"], dependencies=[may_operate], responses=_OF_QUEUE)
async def pause_queue(queue: KnownQueue, services: WithServices, audit: WithAudit) -> shapes.QueuePause:
    """Pauses a queue: within two seconds no worker takes a job of it; those that run are finished.

    It holds until it is resumed, also for workers that start later. The header `Mousetrap-Reason` is shown with it. Repeating it
    changes nothing: the first one stands.
    """
    pause = shapes.Pause(who=audit.who, since_ms=_now_ms(), why=audit.reason)
    with audit.act("pause", queue=queue) as done:
        before = await services.control.pause(queue, pause)
        services.queue_facts.forget()
        done.count = int(before is None)
    return shapes.QueuePause(queue=queue, paused=before or pause, changed=before is None)


@router.post("/queues/{queue}/resume", tags=["queues"], dependencies=[may_operate], responses=_OF_QUEUE)
async def resume_queue(queue: KnownQueue, services: WithServices, audit: WithAudit) -> shapes.QueuePause:
    """Has workers take jobs of a queue again, within two seconds. Repeating it changes nothing."""
    with audit.act("resume", queue=queue) as done:
        changed = await services.control.resume(queue)
        services.queue_facts.forget()
        done.count = int(changed)
    return shapes.QueuePause(queue=queue, paused=None, changed=changed)


@router.post("/workers/{worker}/drain", tags=["workers"], dependencies=[may_operate], responses=_OF_WORKER)
async def drain_worker(live: LiveWorker, control: WithControl, audit: WithAudit) -> shapes.WorkerAsked:
    """Has a worker finish what runs and take nothing new, within two seconds. It stays, and is listed as draining."""
    return await _ask(live, "drain", control, audit)


@router.post("/workers/{worker}/stop", tags=["workers"], dependencies=[may_operate], responses=_OF_WORKER)
async def stop_worker(live: LiveWorker, control: WithControl, audit: WithAudit) -> shapes.WorkerAsked:
    """Has a worker drain and end, as a first signal does: what has not ended in its grace goes to another worker.

    Who started the process may start another one: an orchestrator does, `mousetrap up` does not.
    """
    return await _ask(live, "stop", control, audit)


@router.post("/workers/{worker}/resume", tags=["workers"], dependencies=[may_operate], responses=_OF_WORKER)
async def resume_worker(live: LiveWorker, control: WithControl, audit: WithAudit) -> shapes.WorkerAsked:
    """Has a worker that drains take jobs again, within two seconds. One that stops is not held up."""
    with audit.act("resume", worker=live[0]) as done:
        done.count = int(await control.forget(live[0]))
    return shapes.WorkerAsked(worker=live[0], asked=None)


async def _ask(
    live: tuple[str, frozenset[str]], act: Literal["drain", "stop"], control: Control, audit: Audit
) -> shapes.WorkerAsked:
    worker, names = live
    request = shapes.WorkerRequest(act=act, who=audit.who, since_ms=_now_ms(), why=audit.reason)
    with audit.act(act, worker=worker) as done:
        await control.ask(worker, request, names)
        done.count = 1
    return shapes.WorkerAsked(worker=worker, asked=request)


def _now_ms() -> int:
    return int(time.time() * 1000)
