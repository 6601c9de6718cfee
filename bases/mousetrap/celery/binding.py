"""Binds the handler that starts runs and sends what follows."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from mousetrap.catalogue import PIPELINES
from mousetrap.celery.arrived import FROM_CELERY, Arrived, NotSentOn, SentOn
from mousetrap.celery.broker import open_celery
from mousetrap.celery.intake import Intake
from mousetrap.celery.passing import Ended, Passing
from mousetrap.celery_messages import (
    Declared,
    Invocation,
    after_done,
    after_failed,
    answer_done,
    answer_failed,
    answer_revoked,
    check_follows,
    is_more,
    waited_for,
)
from mousetrap.client import AsyncClient, Pipelines
from mousetrap.handlers import Binding, Context
from mousetrap.known_pipelines import KnownPipelines
from mousetrap.serve_worker import Binder
from mousetrap.settings import Settings
from mousetrap.worker_registry import open_registry

#: Messages of a queue that are being accepted at once.
_PREFETCH = 100

_log = logging.getLogger("mousetrap.celery")


def bind_celery(declared: Declared) -> Binder:
    """The binding of the pipeline `from_celery`; while a worker serves it, it takes from Celery's queues."""

    def bind(settings: Settings) -> Binding:
        return Binding(
            pipeline=FROM_CELERY,
            stage="from_celery",
            handler=send_on,
            lifespan=lambda: _taking(settings, declared),
        )

    return bind


async def send_on(arrived: Arrived, context: Context[Passing]) -> SentOn:
    """Starts the run of a task, waits for its end, and sends what follows. Each step may be repeated: its ids are the same."""
    call = arrived.call
    check_follows(call)
    run_id = await context.deps.start(call)
    if not run_id or not is_more(call, context.deps.declared):
        return SentOn(run=run_id, state="accepted" if run_id else "expired")
    ended = await context.deps.ended(run_id)
    sent = await _sent(context.deps, call, ended)
    if context.deps.declared.answers:
        for task_id, queue in waited_for(call, ended.state == "completed"):
            await context.deps.broker.answer(queue, task_id, _answer(task_id, ended))
    if ended.state == "failed" and (call.callbacks or call.chain):
        raise NotSentOn(
            f"run {run_id} of {call.task} failed, so what follows it in Celery is not sent: "
            "redrive that run's dead letter, and then this one"
        )
    return SentOn(run=run_id, state=ended.state, sent=sent)


def _answer(task_id: str, ended: Ended) -> bytes:
    if ended.state == "completed":
        return answer_done(task_id, ended.result)
    if ended.failure is not None:
        return answer_failed(task_id, ended.failure.kind, ended.failure.text)
    return answer_revoked(task_id, ended.state)


async def _sent(passing: Passing, call: Invocation, ended: Ended) -> tuple[str, ...]:
    now = datetime.now(UTC)
    signatures: Any = ()
    if ended.state == "completed":
        signatures = after_done(call, ended.result, passing.declared, now)
    elif ended.state == "failed":
        signatures = after_failed(call, passing.declared, now)
    return tuple([await passing.broker.send(each) for each in signatures])


@asynccontextmanager
async def _taking(settings: Settings, declared: Declared) -> AsyncIterator[Passing]:
    known = KnownPipelines(PIPELINES, settings.keyring)
    async with (
        AsyncClient(settings=settings) as client,
        open_registry(settings.store_url, tls=settings.tls) as registry,
        open_celery(settings) as broker,
    ):
        passing = Passing(declared, client, Pipelines(known, registry), broker)
        intake = Intake(passing)
        broker.queues.consume(declared.queues, _PREFETCH, intake.receive)
        _log.info("takes tasks of Celery from %s", ", ".join(declared.queues))
        try:
            yield passing
        finally:
            await broker.queues.stop()
            await intake.finish()
            _log.info("accepted %d messages of Celery", intake.accepted)
