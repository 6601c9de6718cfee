"""Reads what the store's server reports about itself."""

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from mousetrap.run_store.packed.sender import can_compare


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """What shows whether the server may forget runs. None where it does not report a value."""

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
    #: Whether it sets a string only if that has a given value, so that outcomes go by plain commands.
    compares: bool = True


async def read_info(client: Redis) -> StoreInfo:
    """Asks the server now."""
    info: dict[str, Any] = await client.info()
    valkey, appends = info.get("valkey_version"), info.get("aof_enabled")
    return StoreInfo(
        server=f"Valkey {valkey}" if valkey else f"Redis {info.get('redis_version', 'of unknown version')}",
        policy=info.get("maxmemory_policy"),
        appends=None if appends is None else bool(appends),
        snapshots=await _setting(client, "save"),
        used_bytes=info.get("used_memory"),
        max_bytes=info.get("maxmemory"),
        compares=can_compare(info),
    )


async def _setting(client: Redis, name: str) -> str | None:
    """None where the server hides its settings, as hosted ones do."""
    try:
        found: dict[Any, Any] = await client.config_get(name)
    except ResponseError:
        return None
    return next((value if isinstance(value, str) else value.decode() for value in found.values()), None)
