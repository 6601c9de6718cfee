"""Tests that a worker killed at any of nineteen points costs nothing."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from chaos.deployment import Deployment, deployed
from chaos.faults import strike_at
from chaos.invariants import assert_all_hold
from chaos.points import Point
from chaos.workload import RATE
from mousetrap.embedded_valkey import EmbeddedValkey
from support.rabbitmq import OwnRabbitMQ, virtual_host

pytestmark = pytest.mark.long
#: Where the queue has had or is given something. At the others a worker talks to the store alone, which is the same beside either
#: queue: RabbitMQ's deployment tries them.
_OF_A_QUEUE = (
    Point.RECEIVED,
    Point.CLAIMED,
    Point.HANDLER_MID,
    Point.DECIDED,
    Point.PUBLISH_SENT,
    Point.PUBLISHED,
    Point.RETRY_PUBLISHED,
    Point.DEAD_LETTER_PUBLISHED,
    Point.ACKNOWLEDGED,
    Point.ACKNOWLEDGE_FLUSHED,
    Point.HANDED_BACK,
)


def test_a_worker_is_killed_at_each_point_on_rabbitmq(
    own_rabbitmq: OwnRabbitMQ, own_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    with (
        virtual_host(own_rabbitmq) as url,
        deployed(
            tmp_path, broker=own_rabbitmq, broker_url=url, store=own_valkey, workers=2, seed=3
        ) as deployment,
    ):
        strike_at_each(deployment, Point)


def test_a_worker_is_killed_at_each_point_of_a_queue_on_the_embedded_one(
    own_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    with deployed(
        tmp_path, broker=None, broker_url=own_valkey.url, store=own_valkey, workers=2, seed=4
    ) as deployment:
        strike_at_each(deployment, _OF_A_QUEUE)


def strike_at_each(deployment: Deployment, points: Iterable[Point]) -> None:
    deployment.start_caller_of_before(RATE / 4)
    deployment.start_caller(RATE)
    for point in points:
        sprung_at = strike_at(deployment, point, "kill")
        deployment.done_after(sprung_at, seconds=60)
    assert_all_hold(deployment.come_to_rest())
