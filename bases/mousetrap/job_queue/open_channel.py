"""Opens a blocking channel with every queue declared, for scripts and notebooks."""

import os
from collections.abc import Iterable
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection, _CallbackResult
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


class OpenChannel(BlockingChannel):  # type: ignore[misc] # pika's wheel carries no types
    """A pika channel that closes its connection as well, since no other channel uses it."""

    def close(self, *reply: Any) -> None:
        super().close(*reply)
        if not self.connection.closing:
            self.connection.close()

    def __exit__(self, *_error: object) -> None:
        if self.connection.is_open:
            self.connection.close()


class _Connection(BlockingConnection):  # type: ignore[misc] # pika's wheel carries no types
    """A pika connection whose channels are of the class OpenChannel."""

    #: True while the connection closes its channels, which then do not close it again.
    closing = False

    def channel(self, channel_number: int | None = None) -> OpenChannel:
        """Copied from pika, except for the class: pika has no setting for it."""
        with _CallbackResult(self._OnChannelOpenedArgs) as opened:
            implementation = self._impl.channel(channel_number, on_open_callback=opened.set_value_once)
            channel = OpenChannel(implementation, self)
            implementation._set_cookie(channel)
            channel._flush_output(opened.is_ready)
        return channel

    def close(self, *reply: Any) -> None:
        self.closing = True
        super().close(*reply)


def open_channel(
    url: str | None = None, queues: Iterable[str] | None = None, *, options: QueueOptions | None = None
) -> OpenChannel:
    """A pika channel with publisher confirms on, and every queue declared as workers declare it.

    Without `url`, the address comes from the environment or from the stack of this folder: MOUSETRAP_BROKER_URL, else
    RABBITMQ_USER, RABBITMQ_PASSWORD and RABBITMQ_HOST. So do the `options`. Without `queues`, those of every pipeline in the
    catalogue are declared. Raises QueueUnreachable, and SettingsWrong for a wrong variable in the environment.
    """
    environ = local_environment(os.environ)
    options = options or options_of(Settings.from_environ(environ, SETTINGS))
    broker = address.parse(url or amqp_url(environ, SETTINGS))
    needed = topology(_queues_of_the_catalogue() if queues is None else queues, options)
    silence_pika()
    connection: Any = None
    try:
        connection = _Connection(address.parameters(broker, "open_channel", options))
        channel: OpenChannel = connection.channel()
        declare(channel, needed)
        channel.confirm_delivery()
    except (AMQPError, OSError) as error:
        if connection is not None and connection.is_open:
            connection.close()
        raise BrokerStatus(str(broker)).unreachable(explain(error)) from error
    return channel


def _queues_of_the_catalogue() -> list[str]:
    return [stage.queue for pipeline in PIPELINES.values() for stage in pipeline.stages]
