"""Tests messages that scripts put on our queues by hand."""

from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.job_queue import open_channel
from mousetrap.signing import Keyring
from support.rabbitmq import OwnRabbitMQ
from support.rabbitmq_users import FULL, user
from support.stack import SIGNING_KEYS, Deploy
from support.waiting import until

GARBAGE = b"\x00 not a job"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [({}, "signature"), (Keyring.parse(SIGNING_KEYS).headers(GARBAGE), "undecodable")],
    ids=["unsigned", "signed"],
)
def test_garbage_is_buried_with_its_reason_and_the_worker_goes_on(
    deploy: Deploy, broker_url: str, own_valkey: EmbeddedValkey, headers: dict[str, str], reason: str
) -> None:
    stack = deploy(broker_url, own_valkey.url)
    workers = stack.start_workers()

    with open_channel(broker_url) as channel:
        channel.basic_publish("", "start_fetch", GARBAGE, pika.BasicProperties(headers=headers))
        letter = until(lambda: take(channel, "start_fetch.dead"), "a dead letter")

    assert letter.body == GARBAGE
    assert letter.headers["mousetrap-reason"] == reason
    run_id = stack.submit()
    stack.completed(run_id)
    assert stack.summaries() == [run_id]
    assert all(worker.running for worker in workers)


def test_a_script_as_in_the_tutorial_finds_the_broker_by_its_three_variables(
    own_rabbitmq: OwnRabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = urlsplit(own_rabbitmq.url)
    monkeypatch.delenv("MOUSETRAP_BROKER_URL", raising=False)
    # The tutorial knows one port, which on this machine may be anyone's. So ours stands in a list, and the port goes to
    # an address that no host can have.
    monkeypatch.setenv("RABBITMQ_HOST", f"{broker.hostname}:{broker.port},255.255.255.255")
    with user(own_rabbitmq, own_rabbitmq.url, FULL) as url:
        known = urlsplit(url)
        monkeypatch.setenv("RABBITMQ_USER", known.username or "")
        monkeypatch.setenv("RABBITMQ_PASSWORD", known.password or "")
        with open_channel() as channel:
            channel.queue_purge("start_fetch")  # a test that ran before may have left a job there
            channel.basic_publish(exchange="", routing_key="start_fetch", body=b"hello")
            received = until(lambda: take(channel, "start_fetch"), "the message is back")

    assert received.body == b"hello"


class Taken(NamedTuple):
    """A message off a queue."""

    headers: dict[str, Any]
    body: bytes


def take(channel: BlockingChannel, queue: str) -> Taken | None:
    """The next message, acknowledged; None if there is none."""
    method, properties, body = channel.basic_get(queue, auto_ack=True)
    return Taken(properties.headers or {}, body) if method else None
