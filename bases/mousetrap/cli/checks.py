"""What a check found, and the judgement of a store: pure."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from mousetrap.run_store import StoreFacts


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
