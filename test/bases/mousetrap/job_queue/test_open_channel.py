"""A blocking channel for scripts, with every queue declared."""

import asyncio
from pathlib import Path

import pika
import pytest
from pika.exceptions import UnroutableError

from mousetrap.job_queue import connect, open_channel
from mousetrap.jobs import Message, QueueUnreachable
from mousetrap.settings import SettingsWrong, announced
from support.inbox import Inbox

EVERY_QUEUE = [
    "start_fetch",
    "data_processing",
    "start_fetch.dead",
    "data_processing.dead",
    "mousetrap.delay.0",
]


def test_every_queue_of_the_catalogue_is_declared(broker_url: str) -> None:
    with open_channel(broker_url) as channel:
        for queue in EVERY_QUEUE:
            assert channel.queue_declare(queue, passive=True).method.message_count == 0


def test_a_message_goes_round_as_in_the_tutorial(broker_url: str) -> None:
    channel = open_channel(broker_url, ["start_fetch"])
    received = []

    def callback(
        ch: pika.adapters.blocking_connection.BlockingChannel, method: object, _: object, body: bytes
    ) -> None:
        received.append(body)
        ch.basic_ack(delivery_tag=method.delivery_tag)  # type: ignore[attr-defined]
        ch.stop_consuming()

    channel.basic_consume(queue="start_fetch", on_message_callback=callback)
    channel.basic_publish(exchange="", routing_key="start_fetch", body=b"{}")
    channel.start_consuming()

    assert received == [b"{}"]
    channel.connection.close()


def test_the_connection_ends_with_the_block(broker_url: str) -> None:
    with open_channel(broker_url, ["work"]) as channel:
        assert channel.connection.is_open

    assert channel.is_closed
    assert channel.connection.is_closed


def test_the_connection_ends_with_the_channel(broker_url: str) -> None:
    channel = open_channel(broker_url, ["work"])

    channel.close()

    assert channel.connection.is_closed


def test_the_connection_ends_with_the_block_though_the_broker_closed_the_channel(broker_url: str) -> None:
    with (
        pytest.raises(pika.exceptions.ChannelClosedByBroker),
        open_channel(broker_url, ["work"]) as channel,
    ):
        channel.queue_declare("nowhere", passive=True)

    assert channel.connection.is_closed


def test_a_message_that_no_queue_takes_is_an_error(broker_url: str) -> None:
    with open_channel(broker_url, ["work"]) as channel, pytest.raises(UnroutableError):
        channel.basic_publish("", "nowhere", b"{}", mandatory=True)


async def test_scripts_and_workers_declare_the_same_and_meet(broker_url: str) -> None:
    def script() -> None:
        with open_channel(broker_url, ["work"]) as channel:
            properties = pika.BasicProperties(message_id="from a script", delivery_mode=2)
            channel.basic_publish("", "work", b"{}", properties, mandatory=True)

    async with connect(broker_url, ["work"], name="test") as queue:
        inbox = Inbox()
        await queue.consume("work", 10, inbox)
        await queue.publish("work", Message("from a worker", b"{}"))
        await asyncio.to_thread(script)
        assert await inbox.acknowledge(2) == ["from a worker", "from a script"]


def test_the_address_comes_from_the_environment(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOUSETRAP_BROKER_URL", broker_url)

    with open_channel(queues=["work"]) as channel:
        assert channel.queue_declare("work", passive=True).method.message_count == 0


def test_without_an_address_the_tutorials_variables_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOUSETRAP_BROKER_URL", "RABBITMQ_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RABBITMQ_HOST", "no-such-host.invalid")
    monkeypatch.setenv("RABBITMQ_PASSWORD", "s3cret")

    with pytest.raises(QueueUnreachable, match=r"no-such-host\.invalid:5672") as error:
        open_channel(queues=["work"])

    assert "s3cret" not in str(error.value)


def test_a_broker_that_is_away_is_reported_with_its_address_and_no_password() -> None:
    with pytest.raises(QueueUnreachable, match=r"127\.0\.0\.1:1 .*check that it runs") as error:
        open_channel("amqp://someone:s3cret@127.0.0.1:1/", ["work"])

    assert "s3cret" not in str(error.value)


def test_a_queue_that_exists_with_other_arguments_is_explained(broker_url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        connection.channel().queue_declare("work", durable=True)

    with pytest.raises(QueueUnreachable, match=r"queue 'work' has .* as docs/upgrading.md describes"):
        open_channel(broker_url, ["work"])


@pytest.mark.parametrize("scheme", ["valkey", "valkeys", "redis", "rediss"])
def test_beside_the_embedded_queue_it_reports_what_it_needs_and_what_is_set(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("MOUSETRAP_BROKER_URL", f"{scheme}://me:s3cret@127.0.0.1:7/0")

    with pytest.raises(SettingsWrong) as wrong:
        open_channel(queues=["work"])

    advice = f"MOUSETRAP_BROKER_URL is {scheme}://me:***@127.0.0.1:7/0, and a blocking channel needs RabbitMQ: amqp://"
    assert str(wrong.value).startswith(advice)


def test_in_the_folder_of_a_stack_it_finds_that_stacks_broker(
    broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".mousetrap").mkdir(mode=0o700)
    monkeypatch.chdir(tmp_path)
    with (
        announced(tmp_path / ".mousetrap", {"MOUSETRAP_BROKER_URL": broker_url}),
        open_channel(queues=["work"]) as channel,
    ):
        assert channel.queue_declare("work", passive=True).method.message_count == 0
