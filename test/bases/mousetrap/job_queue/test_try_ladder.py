"""Tries of the delay ladder's short rungs."""

from collections.abc import Iterator

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from mousetrap.job_queue import QueueOptions, open_channel, overdue_rungs
from mousetrap.job_queue.topology.delay_ladder import reads, rung
from mousetrap.jobs import QueueUnreachable
from support.rabbitmq_api import Broker
from support.rabbitmq_users import rights, user
from support.waiting import until


@pytest.fixture
def channel(broker_url: str) -> Iterator[BlockingChannel]:
    """A channel to a broker with a ladder."""
    open_channel(broker_url, ["work"]).close()
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        yield connection.channel()


def test_no_rung_of_a_ladder_that_works_is_overdue_and_no_try_stays(
    channel: BlockingChannel, broker_url: str
) -> None:
    for _ in range(2):  # the queue where tries end is there by then
        assert overdue_rungs(broker_url, QueueOptions()) == []
    # The broker counts a message as taken a moment after its acknowledgement was sent.
    until(
        lambda: channel.queue_declare("mousetrap.tries", passive=True).method.message_count == 0,
        "no try is left",
    )


def test_rungs_that_pass_nothing_on_are_named(channel: BlockingChannel, broker_url: str) -> None:
    for k in (0, 3):
        channel.queue_unbind(rung(k), rung(k), reads(k, 1))

    assert overdue_rungs(broker_url, QueueOptions()) == [rung(0), rung(3)]


def test_a_user_who_may_only_declare_can_try_them(
    rabbitmq: Broker, broker_url: str, channel: BlockingChannel
) -> None:
    with user(rabbitmq, broker_url, rights()["migrate"]) as url:
        assert overdue_rungs(url, QueueOptions()) == []
    with (
        user(rabbitmq, broker_url, rights()["worker"]) as url,
        pytest.raises(QueueUnreachable, match="ACCESS_REFUSED"),
    ):
        overdue_rungs(url, QueueOptions(declare=False))
