"""Names packed runs in the lists that lead to them.

A list is a hint: it names all runs that it is about, and may name others. So a run is named before it becomes what the list is about,
and each run that a list names is read before it is shown. Lists are of the day on which their runs were accepted.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from mousetrap.run_store.keys import hint_key
from mousetrap.run_store.packed.call import Call, extended
from mousetrap.run_store.run_filter import KEPT, end_lists, error_list, open_list

DAY_MS = 86_400_000
#: Half a day: the message of a redriven job is so old at most when its run is a day old and was not named as a long one.
_LONG_MS = DAY_MS // 2

#: A run in a list: its pipeline, when it was accepted, its id.
Listed = tuple[str, int, str]


def list_ms(kept_ms: int) -> int:
    """How long a list is there of runs that are kept for so long: two days more than the last record of one that ends in half a day."""
    return extended(kept_ms) + 2 * DAY_MS


def is_long(accepted_ms: int, now_ms: int) -> bool:
    """Whether a run that goes on now may live longer than the lists of its day."""
    return now_ms - accepted_ms > _LONG_MS


def add_kept(call: Call, runs: Iterable[Listed], now_ms: int, kept_ms: int) -> None:
    """Names those of the runs that may live longer than the lists of their days."""
    members = [part for run in runs if is_long(run[1], now_ms) for part in (0, member_of(run))]
    if members:
        _add(call, hint_key(KEPT, now_ms // DAY_MS), members, kept_ms, longer=False)


def member_of(run: Listed) -> str:
    """The run as a list names it."""
    _, accepted_ms, run_id = run
    return f"{accepted_ms:013d}:{run_id}"


def by_id(run: Listed) -> str:
    """The run as the list of ids names it."""
    _, accepted_ms, run_id = run
    return f"{run_id}:{accepted_ms:013d}"


def names_of(run: Listed) -> list[tuple[str, str]]:
    """The lists that name each run that is recorded, by key, and the run as they do."""
    pipeline, accepted_ms, _ = run
    day, member = accepted_ms // DAY_MS, member_of(run)
    lists = ("runs", f"runs:{pipeline}", open_list(pipeline))
    return [*((hint_key(name, day), member) for name in lists), (hint_key("ids", day), by_id(run))]


def add_opened(call: Call, runs: Sequence[Listed], kept_ms: int, *, longer: bool = False) -> None:
    """Names runs that are to be recorded; as `add_names`, which costs more for each of them."""
    members: defaultdict[str, list[str | int]] = defaultdict(list)
    for run in runs:
        pipeline, accepted_ms, run_id = run
        day, at = accepted_ms // DAY_MS, f"{accepted_ms:013d}"
        named = (0, f"{at}:{run_id}")
        members[f"mousetrap:runs:{day}"] += named
        members[f"mousetrap:runs:{pipeline}:{day}"] += named
        members[f"mousetrap:open:{pipeline}:{day}"] += named
        members[f"mousetrap:ids:{day}"] += (0, f"{run_id}:{at}")
    for key, pairs in members.items():
        _add(call, key, pairs, kept_ms, longer)


def add_names(call: Call, named: Mapping[str, Iterable[Listed]], kept_ms: int) -> None:
    """Names runs in lists. These are kept for `kept_ms` and two days more, from now if they would end sooner."""
    for name, runs in named.items():
        members: defaultdict[str, list[str | int]] = defaultdict(list)
        for run in runs:
            members[hint_key(name, run[1] // DAY_MS)] += (0, member_of(run))
        for key, pairs in members.items():
            _add(call, key, pairs, kept_ms, longer=True)


def ends_of(state: str, run: Listed, error: str) -> list[str]:
    """The lists of a run that may come to this end; `error` is the kind of its failure, empty for none."""
    return [*end_lists(state, run[0]), *([error_list(error)] if error else [])]


def _add(call: Call, key: str, pairs: Sequence[str | int], kept_ms: int, longer: bool) -> None:
    call.add("ZADD", key, *pairs)
    call.add("PEXPIRE", key, list_ms(kept_ms), "NX")
    if longer:
        call.add("PEXPIRE", key, list_ms(kept_ms), "GT")
