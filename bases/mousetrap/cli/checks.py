"""What a check found, and the judgement of a store: pure."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from mousetrap.run_store import StoreFacts

_MIB = 1 << 20
#: The share of its memory beyond which a store is warned of.
_NEARLY_FULL = 0.8


class Check(msgspec.Struct, frozen=True):
    """One thing looked at."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    #: What to do about it.
    mend: str = ""


def check_store_facts(facts: StoreFacts) -> Iterator[Check]:
    """Whether the store may lose what it was given."""
    if facts.policy == "noeviction":
        yield Check("eviction", "ok", "the store forgets nothing to make room")
    else:
        found = f"maxmemory-policy is {facts.policy or 'not told'}: a full store may forget runs"
        yield Check(
            "eviction",
            "fail" if facts.policy else "warn",
            found,
            "set maxmemory-policy noeviction on the server",
        )
    yield from _check_memory(facts)
    if facts.appends:
        yield Check("persistence", "ok", "each write goes to the append-only file")
    else:
        kept = (
            "by snapshots alone"
            if facts.snapshots
            else "not at all"
            if facts.snapshots == ""
            else "no one knows how"
        )
        found = f"writes are kept {kept}: a restart of the store may lose runs"
        yield Check("persistence", "warn", found, "set appendonly yes on the server")


def _check_memory(facts: StoreFacts) -> Iterator[Check]:
    """Nothing where there is no bound, or none is said."""
    if not facts.max_bytes or facts.used_bytes is None:
        return
    share = facts.used_bytes / facts.max_bytes
    found = f"{share:.0%} of the {facts.max_bytes / _MIB:,.0f} MiB are used that the store may take"
    if share < _NEARLY_FULL:
        yield Check("memory", "ok", found)
    else:
        advice = "raise maxmemory (MOUSETRAP_EMBEDDED_MAX_BYTES under `mousetrap up`), or lower MOUSETRAP_RETENTION_SECONDS"
        yield Check("memory", "warn", f"{found}; a full one refuses new runs", advice)
