"""Finds the newest completed run of a pipeline, of either family."""

from typing import Any

from mousetrap.run_store.damage import is_damage
from mousetrap.run_store.keys import latest_key, newest_key
from mousetrap.run_store.packed.heads import ask, read_run_head, run_head
from mousetrap.run_store.records import RecordBroken
from mousetrap.store_client import StoreClient


async def find_latest(client: StoreClient, pipeline: str) -> str | None:
    """The id of the newest run that completed, by when it was accepted; None for none."""
    named, older = await client.pipeline(
        [
            ("ZRANGE", newest_key(pipeline), 0, -1),
            ("HMGET", latest_key(pipeline), "run", "accepted_ms"),
        ]
    )
    found = [] if is_damage(older) or older[0] is None else [(_number(older[1]), older[0])]
    ids: list[str] = [] if is_damage(named) else [each.decode(errors="replace") for each in named]
    heads = await ask(client.pipeline, [run_head(run_id) for run_id in ids]) if ids else []
    found += [
        (accepted_ms, run_id.encode())
        for run_id, head in zip(ids, heads, strict=True)
        if (accepted_ms := _completed(head)) is not None
    ]
    return max(found)[1].decode(errors="replace") if found else None


def _completed(head: Any) -> int | None:
    """When a completed run was accepted. One that is named before its decision is recorded may not have completed."""
    try:
        run = read_run_head(head)
    except RecordBroken:
        return None
    return run.facts.accepted_ms if run is not None and run.state == "completed" else None


def _number(raw: bytes | None) -> int:
    return int(raw) if raw is not None and raw.isdigit() and len(raw) < 16 else 0
