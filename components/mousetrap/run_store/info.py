"""Reads what the store's server reports about itself."""

from dataclasses import dataclass
from typing import Any

from mousetrap.run_store.packed.sender import can_compare, info_facts
from mousetrap.store_client import ReplyError, StoreClient


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """What shows whether the server may forget runs; of a cluster's servers, the weakest of each. None for what is not reported."""

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
    #: How many servers of a cluster were asked; 0 for a single one.
    cluster: int = 0


async def read_info(client: StoreClient) -> StoreInfo:
    """Asks the servers now. One of a cluster that does not answer is left out."""
    found = [_info(reply) for reply in await client.each("INFO")]
    compares = min(found, key=lambda each: each.compares)
    fullest = max(found, key=_share)
    return StoreInfo(
        server=compares.server,
        policy=min(found, key=lambda each: each.policy == "noeviction").policy,
        appends=min(found, key=lambda each: bool(each.appends)).appends,
        snapshots=await _setting(client, "save"),
        used_bytes=fullest.used_bytes,
        max_bytes=fullest.max_bytes,
        compares=compares.compares,
        cluster=len(found) if client.is_cluster else 0,
    )


def _info(reply: Any) -> StoreInfo:
    info = info_facts(reply)
    valkey, appends = info.get("valkey_version"), info.get("aof_enabled")
    return StoreInfo(
        server=f"Valkey {valkey}" if valkey else f"Redis {info.get('redis_version', 'of unknown version')}",
        policy=info.get("maxmemory_policy"),
        appends=None if appends is None else appends != "0",
        snapshots=None,
        used_bytes=_number(info.get("used_memory")),
        max_bytes=_number(info.get("maxmemory")),
        compares=can_compare(reply),
    )


def _share(info: StoreInfo) -> float:
    return (info.used_bytes or 0) / info.max_bytes if info.max_bytes else 0.0


async def _setting(client: StoreClient, name: str) -> str | None:
    """None where the server hides its settings, as hosted ones do."""
    try:
        found: list[bytes] = await client.call("CONFIG", "GET", name)
    except ReplyError:
        return None
    return found[1].decode(errors="replace") if len(found) > 1 else None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
