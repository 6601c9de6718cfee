"""Makes a task whose work a Celery worker does."""

from dataclasses import replace
from typing import Any, TypeVar, Unpack

import msgspec

from mousetrap.celery.broker import CeleryBroker, open_celery
from mousetrap.celery.outages import OUTAGES
from mousetrap.celery_messages import Signature, sent_first
from mousetrap.handlers import Context, Task, TaskOptions, Tasks
from mousetrap.pipeline import write
from mousetrap.retry import RetryPolicy

I = TypeVar("I")

_celery = Tasks(open_celery)


def celery_task(
    takes: type[I], signature: Signature, *then: Signature, **options: Unpack[TaskOptions]
) -> Task[[I, Context[CeleryBroker]], str]:
    """A task that sends its input to a Celery worker, as the first argument of `signature`, and gives the id of Celery's task.

    `then` is the chain that follows it there, each given the result of the one before; its last may be a task that
    `mousetrap celery take` serves, which starts the next pipeline. All ids follow from the job, so that an attempt that is made
    again sends the same ones. No slot is held while Celery works.
    """

    async def send(value: Any, context: Context[CeleryBroker]) -> str:
        given = (msgspec.json.decode(write(value, takes)), *signature.args)
        first = signature if signature.immutable else replace(signature, args=given)
        return await context.deps.send(sent_first((first, *then), context.idempotency_key, context.run_id))

    send.__annotations__["value"] = takes
    options.setdefault("name", signature.task.rpartition(".")[2])
    options.setdefault("description", f"Has a Celery worker do {signature.task}.")
    options.setdefault("retry", RetryPolicy(outages=OUTAGES))
    task: Task[[I, Context[CeleryBroker]], str] = _celery.task(**options)(send)
    return task
