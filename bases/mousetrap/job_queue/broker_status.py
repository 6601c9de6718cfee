"""Records whether a broker can be used, and why not."""

import logging

from mousetrap.job_queue.errors import BLOCKED, CHECK, explain, is_refusal
from mousetrap.jobs import QueueBlocked, QueueUnreachable
from mousetrap.telemetry import OutageLog

_log = logging.getLogger("mousetrap.job_queue")


class BrokerStatus:
    """The status of one broker, shared by all connections to it.

    An outage begins with the first connection that is lost and ends when all are back. A broker that comes back and then
    refuses something is logged a second time, since somebody has to act.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._cause = f"the first connection is not made yet: {CHECK}"
        self._outage = OutageLog(
            _log,
            down=f"RabbitMQ at {address} cannot be used, trying until it can",
            up=f"RabbitMQ at {address} can be used again",
        )

    def lost(self, role: str, error: Exception) -> None:
        """The connection of that role was lost, or could not be opened."""
        self._cause = explain(error)
        self._outage.began(self._cause, role, repeat=is_refusal(error))

    def connected(self, role: str) -> None:
        """The connection of that role is open."""
        self._outage.ended(role)

    def unreachable(self, cause: str = "") -> QueueUnreachable:
        """The error for callers that cannot wait."""
        return QueueUnreachable(self._text(cause or self._cause))

    def blocked(self) -> QueueBlocked:
        """The same where it lacks memory or disk."""
        return QueueBlocked(self._text(BLOCKED))

    def _text(self, cause: str) -> str:
        return f"RabbitMQ at {self._address} cannot be used: {cause}"
