"""Clients that may not declare queues, on RabbitMQ."""

from collections.abc import Iterator

import pytest

from mousetrap.client import AsyncClient, Client
from mousetrap.handlers import task
from mousetrap.job_queue import make_queues
from mousetrap.jobs import Unroutable
from mousetrap.settings import Settings
from mousetrap.shapes import RunState
from support.rabbitmq_api import Broker
from support.rabbitmq_users import rights, user

KEYS = "test:a-secret-for-the-tests"


@task
def made(number: int) -> int:
    return number


@task
def missing(number: int) -> int:
    return number


@pytest.fixture
def settings(rabbitmq: Broker, broker_url: str, store_url: str) -> Iterator[Settings]:
    """Those of a client with the API's rights, which declares nothing; the queues of `made` are there."""
    queues = [stage.queue for stage in made.pipeline.stages]
    make_queues(Settings(broker_url=broker_url), queues)
    with user(rabbitmq, broker_url, rights()["api"]) as url:
        yield Settings(
            broker_url=url, store_url=store_url, signing_keys=KEYS, declare=False, confirm_seconds=30.0
        )


def test_a_client_that_declares_nothing_submits_to_the_queues_that_are_there(settings: Settings) -> None:
    with Client(settings=settings) as client:
        assert client.submit(made, 1).status().state == RunState.QUEUED
        assert client.submit(made, 1, delay=60).status().due_ms
        with pytest.raises(Unroutable, match=r"'missing'.*`mousetrap migrate` makes"):
            client.submit(missing, 1)
        assert client.submit(made, 2).status().state == RunState.QUEUED


async def test_so_does_an_asynchronous_one(settings: Settings) -> None:
    async with AsyncClient(settings=settings) as client:
        assert (await (await client.submit(made, 1)).status()).state == RunState.QUEUED
        assert (await (await client.submit(made, 1, delay=60)).status()).due_ms
        with pytest.raises(Unroutable, match=r"'missing'.*`mousetrap migrate` makes"):
            await client.submit(missing, 1)
        assert (await (await client.submit(made, 2)).status()).state == RunState.QUEUED
