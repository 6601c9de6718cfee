"""Tests the pauses between two connections."""

import asyncio

import pytest
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker, StreamLostError

from mousetrap.job_queue import link
from mousetrap.job_queue.broker_status import BrokerStatus
from mousetrap.job_queue.link import Link

TIMEOUT_S = 60.0


class Ended:
    """A connection that was opened, and is lost at once."""

    def __init__(self, loss: Exception) -> None:
        self.lost: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.lost.set_result(loss)

    def abort(self, error: Exception) -> None:
        """It has ended."""

    async def leave(self) -> None:
        """It has ended."""


class Pauses:
    """Notes after how many failures in a row a pause is asked for, and makes none."""

    def __init__(self) -> None:
        self.failures: list[int] = []
        self.enough = asyncio.Event()

    def pause(self, failures: int, _chance: float) -> float:
        self.failures.append(failures)
        if len(self.failures) == 4:
            self.enough.set()
        return 0.0


@pytest.mark.parametrize(
    ("loss", "failures"),
    [
        (ConnectionClosedByBroker(541, "INTERNAL_ERROR"), [2, 3, 4, 5]),
        (ChannelClosedByBroker(403, "ACCESS_REFUSED"), [2, 3, 4, 5]),
        (ConnectionClosedByBroker(320, "CONNECTION_FORCED"), [1, 1, 1, 1]),
        (StreamLostError("reset"), [1, 1, 1, 1]),
    ],
    ids=["it fails", "it refuses", "it stops", "it is lost"],
)
async def test_pauses_grow_while_the_broker_ends_each_connection_for_what_it_is_sent(
    monkeypatch: pytest.MonkeyPatch, loss: Exception, failures: list[int]
) -> None:
    pauses = Pauses()
    monkeypatch.setattr(link, "BACKOFF", pauses)

    async def opened() -> Ended:
        return Ended(loss)

    async def set_up(_connection: Ended) -> None:
        """Nothing fails before the connection is used."""

    reconnecting = Link("publish", opened, BrokerStatus("broker:5672"), set_up)
    reconnecting.start()
    await asyncio.wait_for(pauses.enough.wait(), TIMEOUT_S)
    await reconnecting.close()

    assert pauses.failures[:4] == failures
