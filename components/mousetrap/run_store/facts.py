"""What a store's server says of itself, so that an operator can judge whether it may forget."""

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """None stands where the server does not say."""

    #: Its name and version.
    server: str
    #: What it does when its memory is full; anything but `noeviction` may forget runs.
    policy: str | None
    #: Whether each write goes to its append-only file.
    appends: bool | None
    #: When it saves snapshots, as its setting `save` has it; empty for never.
    snapshots: str | None
    #: Bytes of memory that it uses, and that it may use; 0 for no bound.
    used_bytes: int | None = None
    max_bytes: int | None = None


async def read_facts(client: Redis) -> StoreFacts:
    """The facts, asked now."""
    told: dict[str, Any] = await client.info()
    valkey, appends = told.get("valkey_version"), told.get("aof_enabled")
    return StoreFacts(
        server=f"Valkey {valkey}" if valkey else f"Redis {told.get('redis_version', 'of unknown version')}",
        policy=told.get("maxmemory_policy"),
        appends=None if appends is None else bool(appends),
        snapshots=await _setting(client, "save"),
        used_bytes=told.get("used_memory"),
        max_bytes=told.get("maxmemory"),
    )


async def _setting(client: Redis, name: str) -> str | None:
    """None where the server keeps its settings to itself, as hosted ones do."""
    try:
        told: dict[Any, Any] = await client.config_get(name)
    except ResponseError:
        return None
    return next((value if isinstance(value, str) else value.decode() for value in told.values()), None)
