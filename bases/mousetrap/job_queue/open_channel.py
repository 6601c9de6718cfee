"""Opens a blocking channel with every queue declared, for scripts, notebooks and the command line."""

import os
from collections.abc import Iterable
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import AMQPError

from mousetrap.catalogue import PIPELINES, SETTINGS
from mousetrap.job_queue.amqp import address
from mousetrap.job_queue.broker_status import BrokerStatus
from mousetrap.job_queue.errors import explain, silence_pika
from mousetrap.job_queue.open_queue import options_of
from mousetrap.job_queue.topology.declare import declare
from mousetrap.job_queue.topology.topology import topology
from mousetrap.jobs import QueueOptions
from mousetrap.settings import Settings, amqp_url, local_environment


class _Connection(BlockingConnection):  # type: ignore[misc] # pika's wheel carries no types
    """Knows that it is closing, for it closes its channels on the way."""

    closing = False

    def close(self, *reply: Any) -> None:
        self.closing = True
        super().close(*reply)


class OpenChannel(BlockingChannel):  # type: ignore[misc] # pika's wheel carries no types
    """A pika channel that takes its connection with it when it closes, as at the end of a `with`: nobody else has that."""

    def close(self, *reply: Any) -> None:
        super().close(*reply)
        if not self.connection.closing:
            self.connection.close()

    def __exit__(self, *_error: object) -> None:
        if self.connection.is_open:
            self.connection.close()


def open_channel(
    url: str | None = None, queues: Iterable[str] | None = None, *, options: QueueOptions | None = None
) -> OpenChannel:
    """A pika channel with publisher confirms on, and every queue declared as workers declare it.

    The address is `url`, or what the environment or the stack of this folder names: MOUSETRAP_BROKER_URL, else RABBITMQ_USER,
    RABBITMQ_PASSWORD and RABBITMQ_HOST; so do the `options`. Without `queues`, those of every pipeline in the catalogue are declared.
    Raises QueueUnreachable, and SettingsWrong for what stands in the environment.
    """
    environ = local_environment(os.environ)
    options = options or options_of(Settings.from_environ(environ, SETTINGS))
    where = address.parse(url or amqp_url(environ, SETTINGS))
    stands = topology(_catalogue() if queues is None else queues, options)
    silence_pika()
    connection: Any = None
    try:
        connection = _Connection(address.parameters(where, "open_channel", options))
        channel = connection.channel()
        declare(channel, stands)
        channel.confirm_delivery()
    except (AMQPError, OSError) as error:
        if connection is not None and connection.is_open:
            connection.close()
        raise BrokerStatus(str(where)).unreachable(explain(error)) from error
    channel.__class__ = OpenChannel  # pika names its own class at the one place where channels are made
    assert isinstance(channel, OpenChannel)
    return channel


def _catalogue() -> list[str]:
    return [stage.queue for pipeline in PIPELINES.values() for stage in pipeline.stages]
