"""Finds which failed runs were repaired by runs that repeat them."""

from collections.abc import Sequence

from mousetrap.run_store.damage import is_damage
from mousetrap.run_store.keys import packed_run_key, reruns_key
from mousetrap.store_client import StoreClient

#: Runs that repeat one of a page, or one of these in turn, that are looked at: beyond that a run counts as not repaired.
_MOST = 1_000
#: The first byte of a run that completed.
_COMPLETED = b"C"


async def repaired(client: StoreClient, run_ids: Sequence[str]) -> set[str]:
    """Those of the runs of which a re-run completed, or a re-run of a re-run."""
    reruns: dict[str, list[str]] = {}
    completed: set[str] = set()
    asked = list(dict.fromkeys(run_ids))
    while asked and len(reruns) < len(run_ids) + _MOST:
        replies = await client.pipeline([("SRANDMEMBER", reruns_key(run_id), _MOST) for run_id in asked])
        reruns.update(zip(asked, map(_ids, replies), strict=True))
        found = list(dict.fromkeys(each for run_id in asked for each in reruns[run_id]))
        states = await client.pipeline([("GETRANGE", packed_run_key(run_id), 0, 0) for run_id in found])
        completed |= {run_id for run_id, state in zip(found, states, strict=True) if state == _COMPLETED}
        asked = [run_id for run_id in found if run_id not in reruns and run_id not in completed]
    return {run_id for run_id in run_ids if _reaches(run_id, reruns, completed)}


async def reruns_of(client: StoreClient, run_id: str, most: int) -> list[str]:
    """The ids of runs that repeat this one, at most so many, in no order."""
    (found,) = await client.pipeline([("SRANDMEMBER", reruns_key(run_id), most)])
    return _ids(found)


def _reaches(run_id: str, reruns: dict[str, list[str]], completed: set[str]) -> bool:
    """Whether one of the runs that repeat it, directly or not, completed."""
    seen, waiting = {run_id}, [run_id]
    while waiting:
        for each in reruns.get(waiting.pop(), ()):
            if each in completed:
                return True
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return False


def _ids(reply: object) -> list[str]:
    return (
        []
        if is_damage(reply) or not isinstance(reply, list)
        else [it.decode(errors="replace") for it in reply]
    )
