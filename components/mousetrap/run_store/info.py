"""Reads what the store's server reports about itself."""

from dataclasses import dataclass

from mousetrap.run_store.packed.sender import can_compare, info_facts
from mousetrap.store_client import ReplyError, StoreClient


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
    #: Whether it is one of a cluster; the others were not asked.
    in_cluster: bool = False


async def read_info(client: StoreClient) -> StoreInfo:
    """Asks the server now."""
    reply = await client.call("INFO")
    info = info_facts(reply)
    valkey, appends = info.get("valkey_version"), info.get("aof_enabled")
    return StoreInfo(
        server=f"Valkey {valkey}" if valkey else f"Redis {info.get('redis_version', 'of unknown version')}",
        policy=info.get("maxmemory_policy"),
        appends=None if appends is None else appends != "0",
        snapshots=await _setting(client, "save"),
        used_bytes=_number(info.get("used_memory")),
        max_bytes=_number(info.get("maxmemory")),
        compares=can_compare(reply),
        in_cluster=info.get("cluster_enabled") == "1",
    )


async def _setting(client: StoreClient, name: str) -> str | None:
    """None where the server hides its settings, as hosted ones do."""
    try:
        found: list[bytes] = await client.call("CONFIG", "GET", name)
    except ReplyError:
        return None
    return found[1].decode(errors="replace") if len(found) > 1 else None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
