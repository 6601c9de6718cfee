"""Asks a store's server about itself."""

from typing import Any

from redis import Redis, RedisError, ResponseError
from redis.backoff import NoBackoff
from redis.retry import Retry

from mousetrap.cli.checks import StoreFacts
from mousetrap.jobs import StoreUnreachable
from mousetrap.settings import Settings, masked


def read_store_facts(settings: Settings) -> StoreFacts:
    """What the server says of itself. Raises StoreUnreachable when it does not answer."""
    try:
        with _client(settings) as client:
            told: dict[str, Any] = client.info()
            snapshots = _setting(client, "save")
    except (RedisError, OSError) as error:
        raise StoreUnreachable(f"{masked(settings.store_url)} does not serve: {error}") from error
    valkey = told.get("valkey_version")
    appends = told.get("aof_enabled")
    return StoreFacts(
        server=f"Valkey {valkey}" if valkey else f"Redis {told.get('redis_version', 'of unknown version')}",
        policy=told.get("maxmemory_policy"),
        appends=bool(appends) if appends is not None else None,
        snapshots=snapshots,
    )


def _client(settings: Settings) -> Redis:
    scheme, _, rest = settings.store_url.partition("://")
    url = f"{ {'valkey': 'redis', 'valkeys': 'rediss'}.get(scheme, scheme) }://{rest}"
    tls = {
        "ssl_ca_certs": settings.tls_ca or None,
        "ssl_certfile": settings.tls_certificate or None,
        "ssl_keyfile": settings.tls_key or None,
    }
    options = tls if url.startswith("rediss") else {}
    return Redis.from_url(
        url,
        socket_connect_timeout=2.0,
        socket_timeout=2.0,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
        **options,
    )


def _setting(client: Redis, name: str) -> str | None:
    """None where the server keeps its settings to itself, as hosted ones do."""
    try:
        told = client.config_get(name)
    except ResponseError:
        return None
    return told.get(name)
