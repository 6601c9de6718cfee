"""Reads packed runs as a list shows them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mousetrap.run_store.damage import is_damage
from mousetrap.run_store.decode_run import StoredRun, read_run
from mousetrap.run_store.keys import packed_events_key, packed_progress_key
from mousetrap.run_store.packed.chain import Chain, Routes, follow
from mousetrap.run_store.packed.fields import line
from mousetrap.run_store.packed.heads import ask, job_head, read_run_head
from mousetrap.run_store.packed.timeline import NEWEST, job_of
from mousetrap.run_store.records import RecordBroken, RunRecord
from mousetrap.store_client import Command, StoreClient

#: Names of replies beside those for jobs, which are by the job's id.
_PROGRESS, _LAST = "progress", "newest entries"


class _Wanted(NamedTuple):
    run_id: str
    name: str
    command: Command


async def read_lines(
    client: StoreClient, routes: Routes, heads: Mapping[str, Any], long_before_ms: int = 0
) -> dict[str, StoredRun]:
    """The runs with these heads, by id; of an unknown one there is nothing.

    Those accepted before `long_before_ms` may live longer than the records of their first jobs.

    One round trip reads the jobs that the runs are guessed to have, and each that follows goes a stage further with those that
    have others.
    """
    runs, lines = _known(heads)
    replies: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    chains: dict[str, Chain] = {}
    wanted = [each for run_id, run in runs.items() for each in _first(routes, run_id, run)]
    while wanted:
        found = await ask(client.pipeline, [it.command for it in wanted])
        for it, reply in zip(wanted, found, strict=True):
            replies[it.run_id][it.name] = reply
        asked = dict.fromkeys(it.run_id for it in wanted)
        chains.update({run_id: _chain(run_id, runs[run_id], replies[run_id]) for run_id in asked})
        wanted = [each for run_id in asked for each in _more(routes, run_id, runs[run_id], chains[run_id])]
        wanted += [
            _newest(run_id)
            for run_id in asked
            if _LAST not in replies[run_id] and _is_cut(runs[run_id], chains[run_id], long_before_ms)
        ]
    for run_id, run in runs.items():
        routes.learn(run.facts.pipeline, chains[run_id])
        progress = replies[run_id][_PROGRESS]
        lines[run_id] = line(run_id, run, chains[run_id], _value(progress))
    return lines


def _known(heads: Mapping[str, Any]) -> tuple[dict[str, RunRecord], dict[str, StoredRun]]:
    """The runs that there are, and the lines of those that cannot be read."""
    runs: dict[str, RunRecord] = {}
    lines: dict[str, StoredRun] = {}
    for run_id, head in heads.items():
        try:
            run = read_run_head(head)
        except RecordBroken as error:
            lines[run_id] = read_run(run_id, {}, damage=(f"the run: {error}",))
        else:
            if run is not None:
                runs[run_id] = run
    return runs, lines


def _first(routes: Routes, run_id: str, run: RunRecord) -> Sequence[_Wanted]:
    wanted = [_Wanted(run_id, job_id, job_head(run_id, job_id)) for job_id in routes.first(run_id, run.facts)]
    wanted.append(_Wanted(run_id, _PROGRESS, ("HGET", packed_progress_key(run_id), "progress")))
    if not run.facts.digest:  # restored from a message of a later job, which its stream names
        wanted.append(_newest(run_id))
    return wanted


def _newest(run_id: str) -> _Wanted:
    """The newest events, which name the job that the run is at."""
    return _Wanted(run_id, _LAST, ("XREVRANGE", packed_events_key(run_id), "+", "-", "COUNT", NEWEST))


def _is_cut(run: RunRecord, chain: Chain, long_before_ms: int) -> bool:
    """Whether the records of jobs may be gone that lead to later ones."""
    leads_on = chain.tail is None or (chain.tail.state == "done" and chain.tail.facts.next not in ("", "?"))
    return run.facts.accepted_ms < long_before_ms and not chain.lacking and leads_on


def _more(routes: Routes, run_id: str, run: RunRecord, chain: Chain) -> Sequence[_Wanted]:
    further = routes.more(run_id, run.facts, chain)
    return [_Wanted(run_id, job_id, job_head(run_id, job_id)) for job_id in further]


def _chain(run_id: str, run: RunRecord, replies: Mapping[str, Any]) -> Chain:
    newest = job_of(_value(replies.get(_LAST)) or ())
    # A head that is not there is empty.
    return follow(run_id, run.facts.stage, newest, {name: reply or None for name, reply in replies.items()})


def _value(reply: Any) -> Any:
    """None for a key of another type."""
    return None if is_damage(reply) else reply
