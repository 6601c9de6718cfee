"""Opens the store's client, with timeouts, and translates its errors."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, OutOfMemoryError, RedisError

from mousetrap.jobs import StoreFull, StoreUnreachable

#: The client's names for the schemes: Redis has the same protocol and commands.
_SCHEMES = {"valkey": "redis", "valkeys": "rediss"}
#: The API must report within two seconds that the store is away.
_CONNECT_TIMEOUT_S = 1.0
_REPLY_TIMEOUT_S = 1.5


def open_client(url: str, tls: ssl.SSLContext | None) -> Redis:
    """A client that connects when first used; `tls` replaces the default context of a TLS address."""
    scheme, _, rest = url.partition("://")
    client = Redis.from_url(
        f"{_SCHEMES.get(scheme, scheme)}://{rest}",
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        socket_timeout=_REPLY_TIMEOUT_S,
        # A connection lost while idle is noticed at its next command, which is sent again over a new one: every
        # transition may be repeated. After a timeout the command is not sent again, since its caller waits.
        retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
    )
    pool = client.connection_pool
    if tls is not None and issubclass(pool.connection_class, SSLConnection):
        pool.connection_class = _Encrypted
        pool.connection_kwargs["context"] = tls
    return client


class _Encrypted(SSLConnection):
    """Uses our TLS context, made and checked with the settings; the client would make one from file names."""

    def __init__(self, *, context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context.context = context


def address(url: str) -> str:
    """The server's host and port, or its socket, without any password."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"


def unreachable(place: str, error: Exception | str) -> StoreUnreachable:
    """The StoreUnreachable for an error of the client or the server; StoreFull if the store has no room."""
    # An error raised in a Lua function has the function's line after the server's text.
    reason = str(error).rstrip(".")
    if isinstance(error, OutOfMemoryError) or reason.startswith("OOM "):
        return StoreFull(
            f"the store at {place} is full, it holds as much as its maxmemory allows: give it more memory, "
            "or remember runs for a shorter time (MOUSETRAP_RETENTION_SECONDS)"
        )
    if reason.startswith("MISCONF "):
        return StoreFull(
            f"the store at {place} takes no writes, most often because its disk is full: {reason}"
        )
    return StoreUnreachable(f"cannot reach the store at {place}: {reason}")


@contextmanager
def reaching(place: str) -> Iterator[None]:
    """Translates the client's errors in this block to StoreUnreachable."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise unreachable(place, error) from error
