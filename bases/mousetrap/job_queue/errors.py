"""Explains pika's errors, with advice and without passwords."""

import logging
import re

from pika.adapters.utils.connection_workflow import AMQPConnectorException, AMQPConnectorPhaseErrorBase
from pika.exceptions import (
    AMQPConnectionError,
    ChannelClosedByBroker,
    ConnectionClosed,
    ConnectionOpenAborted,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from mousetrap.job_queue.topology.drift import explain_drift
from mousetrap.jobs import Unroutable

#: The cause while a broker makes publishers wait.
BLOCKED = "it takes no messages until it has memory or disk again: consume what it holds, or give it more"
CHECK = "check that it runs and that MOUSETRAP_BROKER_URL names it"

_NOT_ALLOWED, _NOT_FOUND, _REFUSED = 530, 404, 403
_MISSING = re.compile(r"no (?P<kind>queue|exchange) '(?P<name>[^']*)'")


def explain(error: BaseException) -> str:
    """The cause of an error, and what to do about it."""
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
            return f"it reports {text}: give that user the right, as docs/broker-rights.md lists them, or use another user"
        case ChannelClosedByBroker(reply_text=text) | ConnectionClosed(reply_text=text):
            return explain_drift(text) or f"it reports {text}"
        case TimeoutError() | ConnectionOpenAborted():  # pika gave the handshake up
            return f"it does not answer in time: {CHECK}"
        case OSError() | AMQPConnectionError():
            return f"{str(cause) or type(cause).__name__}: {CHECK}"
        case _:
            return str(cause) or type(cause).__name__


def is_refusal(error: BaseException) -> bool:
    """Whether the broker is there and refused something, as while a queue is missing."""
    return isinstance(_root(error), ChannelClosedByBroker)


def is_missing(error: BaseException) -> bool:
    """Whether the broker reported that a queue or an exchange is missing."""
    return isinstance(error, ChannelClosedByBroker) and error.reply_code == _NOT_FOUND


def unroutable(queue: str) -> Unroutable:
    """The error for a missing queue."""
    return Unroutable(
        f"there is no queue {queue!r}: start a worker, or the API, of the version that declares it, or run `mousetrap migrate`"
    )


def not_declared(queue: str) -> Unroutable:
    """The error for a queue or a topic that is missing, where we may not declare it."""
    return Unroutable(
        f"there is no topic {queue!r}, and this process may not declare it (MOUSETRAP_DECLARE is off): `mousetrap migrate` "
        "makes the queues of pipelines; name a topic of your own once in a process that may declare"
    )


def silence_pika() -> None:
    """Turns pika's own log off: it logs each failed try as an error, and returned messages with their bodies."""
    logger = logging.getLogger("pika")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)


def _explain_missing(text: str) -> str:
    found = _MISSING.search(text)
    if found is None:
        return f"it reports {text}"
    return f"there is no {found['kind']} {found['name']!r}: `mousetrap migrate` makes it, with a user who may configure"


def _root(error: BaseException) -> BaseException:
    """The error of the last host, without pika's errors about all hosts around it."""
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
