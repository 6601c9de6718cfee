"""Opens the client of the store's server, with bounds on every wait."""

import ssl
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

#: The client speaks of Redis; the protocol and the commands are the same.
_SCHEMES = {"valkey": "redis", "valkeys": "rediss"}
#: Seconds; a caller of the API must hear within two of them that the store is away.
_CONNECT, _ANSWER = 1.0, 1.5


def open_client(url: str, tls: ssl.SSLContext | None) -> Redis:
    """A client that connects when first used; `tls` replaces the default context of a TLS address."""
    scheme, _, rest = url.partition("://")
    extra: dict[str, Any] = {}
    if tls is not None and scheme in ("valkeys", "rediss"):
        extra = {"ssl_ca_certs": None, "ssl_context": tls}
    return Redis.from_url(
        f"{_SCHEMES.get(scheme, scheme)}://{rest}",
        socket_connect_timeout=_CONNECT,
        socket_timeout=_ANSWER,
        retry=Retry(NoBackoff(), 0),
        **extra,
    )


def address(url: str) -> str:
    """The server's place, for people, without any password."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"
