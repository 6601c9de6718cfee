"""Opens the client of the store's server, with bounds on every wait."""

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

#: The client speaks of Redis; the protocol and the commands are the same.
_SCHEMES = {"valkey": "redis", "valkeys": "rediss"}
#: Seconds; a caller of the API must hear within two of them that the store is away.
_CONNECT, _ANSWER = 1.0, 1.5


def open_client(url: str, tls: ssl.SSLContext | None) -> Redis:
    """A client that connects when first used; `tls` replaces the default context of a TLS address."""
    scheme, _, rest = url.partition("://")
    client = Redis.from_url(
        f"{_SCHEMES.get(scheme, scheme)}://{rest}",
        socket_connect_timeout=_CONNECT,
        socket_timeout=_ANSWER,
        # A connection that was lost while nobody used it is found out by its next command, which goes by a new one then.
        # Transitions bear to be repeated. A server that does not answer in time is not asked again: its caller waits.
        retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
    )
    pool = client.connection_pool
    if tls is not None and issubclass(pool.connection_class, SSLConnection):
        pool.connection_class = _Encrypted
        pool.connection_kwargs["context"] = tls
    return client


class _Encrypted(SSLConnection):
    """The client makes a context of its own from file names; ours is made and checked with the settings."""

    def __init__(self, *, context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context.context = context


def address(url: str) -> str:
    """The server's place, for people, without any password."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"


def unreachable(place: str, error: Exception | str) -> StoreUnreachable:
    """Our error for what the client or the server of the store at `place` said; StoreFull where it wants for room."""
    # In a function or a script the error is followed by its place there.
    said = str(error)
    if isinstance(error, OutOfMemoryError) or said.startswith("OOM "):
        return StoreFull(
            f"the store at {place} is full, it holds as much as its maxmemory allows: give it more memory, "
            "or remember runs for a shorter time (MOUSETRAP_RETENTION_SECONDS)"
        )
    if said.startswith("MISCONF "):
        return StoreFull(f"the store at {place} takes no writes, most often because its disk is full: {said}")
    return StoreUnreachable(f"the store at {place} does not serve: {said}")


@contextmanager
def reaching(place: str) -> Iterator[None]:
    """Turns the client's errors in this block into StoreUnreachable, of the store at `place`."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise unreachable(place, error) from error
