"""Sends messages to Celery's queues."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from mousetrap.catalogue import SETTINGS
from mousetrap.celery_messages import Signature, wire_of
from mousetrap.job_queue import ForeignMessage, ForeignQueues, open_foreign, options_of
from mousetrap.jobs import Unroutable
from mousetrap.settings import Settings, SettingsWrong, local_environment


@dataclass(frozen=True, slots=True)
class CeleryBroker:
    """The broker that Celery's clients and workers use."""

    queues: ForeignQueues

    async def send(self, signature: Signature) -> str:
        """The task's id, once the broker has the message. To repeat it is safe where the id is the same.

        Raises QueueUnreachable, PublishUnconfirmed, QueueFull and Unroutable.
        """
        wire = wire_of(signature)
        message = ForeignMessage(
            body=wire.body,
            headers=wire.headers,
            correlation_id=signature.id,
            reply_to=signature.reply_to,
            priority=signature.priority,
        )
        await self.queues.publish(signature.queue, message)
        return signature.id

    async def answer(self, queue: str, task_id: str, body: bytes) -> None:
        """Sends a result to a caller that waits for it; one that has left gets none. Raises as `send` does, but no Unroutable."""
        with suppress(Unroutable):
            await self.queues.publish(queue, ForeignMessage(body=body, headers={}, correlation_id=task_id))


@asynccontextmanager
async def open_celery(settings: Settings | None = None) -> AsyncIterator[CeleryBroker]:
    """The broker of MOUSETRAP_CELERY_URL, or else of MOUSETRAP_BROKER_URL. Raises SettingsWrong where that is no RabbitMQ."""
    settings = settings or Settings.from_environ(local_environment(), SETTINGS)
    url = settings.celery_url or settings.broker_url
    if not url.startswith("amqp"):
        raise SettingsWrong(
            "MOUSETRAP_CELERY_URL: write the amqp:// address that Celery has as its broker_url"
        )
    async with open_foreign(url, name="celery", options=options_of(settings)) as queues:
        yield CeleryBroker(queues)
