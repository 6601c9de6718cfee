"""Follows what operators ask of a worker and of its queues."""

import asyncio
import logging
from collections.abc import Sequence

from mousetrap.control import NOTHING_ASKED, Control, Orders
from mousetrap.jobs import MousetrapError
from mousetrap.shapes import Pause, WorkerRequest
from mousetrap.worker import Pauses, Stop

#: Between two looks. With the answer's time a worker follows within two seconds; a look is two small commands in one round trip.
_LOOK_S = 1.0

_log = logging.getLogger("mousetrap.worker")


class OrdersFollower:
    """Looks once a second what is asked, over the connection of the heartbeat.

    1. Before the first answer the worker takes nothing: a queue may be paused.
    2. A pause closes its queue to the worker, a drain all of them; a stop is what a first signal is.
    3. While the store is away, what was asked last holds.
    """

    def __init__(
        self, control: Control, name: str, queues: Sequence[str], pauses: Pauses, stop: Stop
    ) -> None:
        self._control = control
        self._name = name
        self._queues = queues
        self._pauses = pauses
        self._stop = stop
        self._last = NOTHING_ASKED

    async def follow(self) -> None:
        """Looks again and again, until it is cancelled."""
        while True:
            try:
                self._obey(await self._control.orders(self._name, self._queues))
            except MousetrapError:
                pass  # the heartbeat logs it
            except Exception:  # noqa: BLE001  a defect of ours must not leave the worker deaf to a pause
                _log.exception("could not follow what is asked of this worker; it looks again")
            await asyncio.sleep(_LOOK_S)

    def _obey(self, orders: Orders) -> None:
        self._log_changes(orders)
        self._last = orders
        self._pauses.set(orders.paused, everything=orders.request is not None)
        if orders.request is not None and orders.request.act == "stop":
            self._stop.asked.set()

    def _log_changes(self, orders: Orders) -> None:
        before, now = self._last.paused, orders.paused
        for queue in now.keys() - before.keys():
            _log.info("queue %s is paused%s", queue, _by(now[queue]))
        for queue in before.keys() - now.keys():
            _log.info("queue %s is resumed", queue)
        if orders.request is not None and orders.request != self._last.request:
            _log.info("asked to %s%s", orders.request.act, _by(orders.request))
        elif orders.request is None and self._last.request is not None:
            _log.info("asked to serve again")


def _by(it: Pause | WorkerRequest) -> str:
    return f" by {it.who}" + (f": {it.why}" if it.why else "")
