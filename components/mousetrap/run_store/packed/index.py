"""Adds packed runs to the lists of their days."""

from collections import defaultdict
from collections.abc import Iterable

from mousetrap.run_store.keys import index_key
from mousetrap.run_store.packed.call import Call

_DAY_MS = 86_400_000

#: A run in a list: its pipeline, when it was accepted, its id.
Listed = tuple[str, int, str]


def lists_of(run: Listed) -> tuple[str, str]:
    """The lists that name the run: of all runs of its day, and of its pipeline's."""
    pipeline, accepted_ms, _ = run
    day = accepted_ms // _DAY_MS
    return index_key(None, day), index_key(pipeline, day)


def member_of(run: Listed) -> str:
    """The run as a list names it."""
    _, accepted_ms, run_id = run
    return f"{accepted_ms:013d}:{run_id}"


def add_to_lists(call: Call, runs: Iterable[Listed], kept_ms: int, *, longer: bool = False) -> None:
    """Names the runs in the lists of their days, which are kept for `kept_ms` and two days more.

    `longer` for runs that are kept longer than those that are there.
    """
    members: defaultdict[str, list[str]] = defaultdict(list)
    for run in runs:
        for key in lists_of(run):
            members[key].append(member_of(run))
    for key, named in members.items():
        call.add("ZADD", key, *(part for member in named for part in (0, member)))
        call.add("PEXPIRE", key, kept_ms + 2 * _DAY_MS, "NX")
        if longer:
            call.add("PEXPIRE", key, kept_ms + 2 * _DAY_MS, "GT")
