"""Requests a broker's management API, and checks that it answers."""

import socket
import ssl
from functools import cache
from typing import Protocol
from urllib.parse import urlsplit

import httpx


class Broker(Protocol):
    """Where a broker is."""

    @property
    def url(self) -> str: ...

    @property
    def api(self) -> str: ...


def ask(broker: Broker, method: str, path: str, **members: str) -> None:
    """Raises httpx.HTTPError unless the API does it; `members` are the body's."""
    parts = urlsplit(broker.url)
    login = (parts.username or "guest", parts.password or "guest")
    with httpx.Client(timeout=60, verify=_certificates()) as client:
        try:
            answer = client.request(method, broker.api + path, auth=login, json=members or None)
        except (httpx.ReadError, httpx.RemoteProtocolError):
            # A busy node resets a connection now and then. What we ask can be repeated: what was deleted is not there.
            answer = client.request(method, broker.api + path, auth=login, json=members or None)
            if method == "DELETE" and answer.status_code == httpx.codes.NOT_FOUND:
                return
    answer.raise_for_status()


@cache
def _certificates() -> ssl.SSLContext:
    """One for all clients: to load the certificates takes longer than a request.

    The clients themselves are not kept. Threads that make the first one together would leave some open.
    """
    return ssl.create_default_context()


def answers(broker: Broker) -> bool:
    """Whether it takes connections. A published port of a container opens before the broker does, so a reply counts."""
    parts = urlsplit(broker.url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 5672), timeout=10) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            if not connection.recv(1):
                return False
        ask(broker, "GET", "/api/whoami")
    except (OSError, httpx.HTTPError):
        return False
    return True
