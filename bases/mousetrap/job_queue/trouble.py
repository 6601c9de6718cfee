"""Says why a broker is out of reach: in the log once when it begins and once when it is over, and in errors meanwhile."""

import logging
import re

from pika.adapters.utils.connection_workflow import AMQPConnectorException, AMQPConnectorPhaseErrorBase
from pika.exceptions import (
    AMQPConnectionError,
    ChannelClosedByBroker,
    ConnectionClosed,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from mousetrap.job_queue.drift import explain_drift
from mousetrap.jobs import QueueUnreachable

_log = logging.getLogger("mousetrap.job_queue")

#: Why a broker lets publishers wait.
BLOCKED = "it takes no messages until it has memory or disk again: consume what it holds, or give it more"

_CHECK = "check that it runs and that MOUSETRAP_BROKER_URL names it"
_NOT_ALLOWED, _NOT_FOUND, _REFUSED = 530, 404, 403
_MISSING = re.compile(r"no (?P<kind>queue|exchange) '(?P<name>[^']*)'")
#: What makes what is missing on a broker.
MIGRATE = "`mousetrap migrate` makes it, with a user who may configure"


class Trouble:
    """The state of all connections to one broker, as one person would tell it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._struck: set[str] = set()
        self._told = ""
        self._why = f"the first connection is not made yet: {_CHECK}"

    def struck(self, role: str, why: Exception) -> None:
        """The connection of that role is lost, or was not made.

        A broker that comes back and then says no, as while a queue is missing, is told of a second time: that is for
        somebody to mend.
        """
        self._why = explain(why)
        if not self._struck or (isinstance(_root(why), ChannelClosedByBroker) and self._why != self._told):
            _log.warning("RabbitMQ at %s cannot be used, trying until it can: %s", self._address, self._why)
            self._told = self._why
        self._struck.add(role)

    def over(self, role: str) -> None:
        """The connection of that role stands."""
        if self._struck == {role}:
            _log.info("RabbitMQ at %s can be used again", self._address)
        self._struck.discard(role)

    def unreachable(self, why: str = "") -> QueueUnreachable:
        """The error for whoever cannot wait."""
        return QueueUnreachable(f"RabbitMQ at {self._address} cannot be used: {why or self._why}")


def hush_pika() -> None:
    """pika logs each failed try as an error, and returned messages with their bodies; what matters we say ourselves."""
    logger = logging.getLogger("pika")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)


def explain(error: BaseException) -> str:
    """What went wrong, in words that say what to do; never a password."""
    cause = _root(error)
    match cause:
        case ProbableAuthenticationError():
            return "it refused the login: check user and password"
        case ProbableAccessDeniedError():
            return "it refused the virtual host: check its name and the user's permissions"
        case ConnectionClosed(reply_code=code, reply_text=text) if code == _NOT_ALLOWED:
            return f"it refused the virtual host: check its name and the user's permissions ({text})"
        case ChannelClosedByBroker(reply_code=code, reply_text=text) if code == _NOT_FOUND:
            return _explain_missing(text)
        case ChannelClosedByBroker(reply_code=code, reply_text=text) if code == _REFUSED:
            return f"it said {text}: give that user the right, as docs/broker-rights.md lists them, or take another"
        case ChannelClosedByBroker(reply_text=text) | ConnectionClosed(reply_text=text):
            return explain_drift(text) or f"it said {text}"
        case TimeoutError():
            return f"it does not answer in time: {_CHECK}"
        case OSError() | AMQPConnectionError():
            return f"{str(cause) or type(cause).__name__}: {_CHECK}"
        case _:
            return str(cause) or type(cause).__name__


def _explain_missing(text: str) -> str:
    found = _MISSING.search(text)
    return f"there is no {found['kind']} {found['name']!r}: {MIGRATE}" if found else f"it said {text}"


def _root(error: BaseException) -> BaseException:
    """pika wraps what happened to one host in what happened to all of them."""
    while True:
        match error:
            case AMQPConnectorPhaseErrorBase(exception=inner):
                error = inner
            case AMQPConnectorException(exceptions=[*_, inner]):
                error = inner
            case AMQPConnectionError(args=[AMQPConnectorException() as inner]):
                error = inner
            case _:
                return error
