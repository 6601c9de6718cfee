"""Parses RabbitMQ addresses, of one host or several."""

import random
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import pika

from mousetrap.jobs import QueueOptions

_PORTS = {"amqp": 5672, "amqps": 5671}
_UNREADABLE = (
    "the broker's address cannot be read: write amqp://user:password@host:port/vhost, or amqps:// for TLS, several hosts "
    "separated by commas, with special characters of the password percent-encoded, and nothing after a ? or #"
)

#: A broker without memory or disk that reads nothing for so long is tried over another connection.
_BLOCKED_TIMEOUT_S = 60
#: For one host's TCP and TLS.
_SOCKET_TIMEOUT_S = 5
#: For all steps up to an open connection.
_STACK_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Address:
    """A broker's hosts, login and virtual host. Its text has no password."""

    hosts: tuple[tuple[str, int], ...]
    user: str
    password: str = field(repr=False)
    vhost: str
    encrypted: bool

    def __str__(self) -> str:
        return ", ".join(f"{host}:{port}" for host, port in self.hosts)


def parse(url: str) -> Address:
    """The address in `amqp://user:password@host:port,host:port/vhost`.

    Raises ValueError, which never holds a part of the address: a mistake may put the password anywhere in it.
    """
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    try:
        found = tuple(_host(text, _PORTS[parts.scheme]) for text in hosts.split(","))
        if parts.query or parts.fragment:
            raise ValueError(url)
    except (KeyError, ValueError):
        raise ValueError(_UNREADABLE) from None
    return Address(
        hosts=found,
        user=unquote(user) or "guest",
        password=unquote(password) or "guest",
        vhost=unquote(parts.path.removeprefix("/")) or "/",
        encrypted=parts.scheme == "amqps",
    )


def parameters(address: Address, name: str, options: QueueOptions) -> Sequence[Any]:
    """pika's parameters for each host, shuffled, so that a cluster's clients spread over its nodes."""
    context = (options.tls or ssl.create_default_context()) if address.encrypted else None
    each = [
        pika.ConnectionParameters(
            host=host,
            port=port,
            virtual_host=address.vhost,
            credentials=pika.PlainCredentials(address.user, address.password),
            heartbeat=options.heartbeat,
            blocked_connection_timeout=_BLOCKED_TIMEOUT_S,
            socket_timeout=_SOCKET_TIMEOUT_S,
            stack_timeout=_STACK_TIMEOUT_S,
            client_properties={"connection_name": name},
            ssl_options=pika.SSLOptions(context, host) if context else None,
        )
        for host, port in address.hosts
    ]
    random.shuffle(each)
    return each


def _host(text: str, default: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(text)
    return parts.hostname, parts.port or default
