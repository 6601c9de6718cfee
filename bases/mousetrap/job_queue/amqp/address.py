"""Reads a RabbitMQ address, of one host or several, and says it again without its password."""

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

#: Seconds that the broker may refuse to read from us, for want of memory or disk, before we try another connection.
_BLOCKED = 60
#: Seconds for one host's TCP and TLS, and for all up to an open connection.
_SOCKET, _STACK = 5, 10


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker is and who we are there."""

    hosts: tuple[tuple[str, int], ...]
    user: str
    password: str = field(repr=False)
    vhost: str
    encrypted: bool

    def __str__(self) -> str:
        return ", ".join(f"{host}:{port}" for host, port in self.hosts)


def parse(url: str) -> Address:
    """The address that `amqp://user:password@host:port,host:port/vhost` stands for.

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
            blocked_connection_timeout=_BLOCKED,
            socket_timeout=_SOCKET,
            stack_timeout=_STACK,
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
