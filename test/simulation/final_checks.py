"""Checks the promises at the end, when all faults are repaired."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator

from mousetrap.jobs import Job, dead_queue, decode
from mousetrap.run_store import StoredRun
from mousetrap.run_store.keys import HINTS, LONGEST_DELAY, hint_key
from mousetrap.run_store.packed.hints import DAY_MS
from mousetrap.run_store.run_filter import KEPT, RunFilter, hints_for
from mousetrap.shapes import RunState
from simulation.cluster import LEASE_S, Cluster
from simulation.graphs import GRAPH_KINDS, UNKNOWN
from simulation.handlers import CRASHES, FALLS_BACK, STEPS, TRIES
from simulation.ledger import PromiseBroken, RunFacts, untimed
from simulation.payloads import runs_with_payloads, text_of
from simulation.stored import events, result

_EXPECTED = dict.fromkeys(("poison", "hopeless", "gone", "deadly", "odd", "cancelling"), "failed")
_ENDINGS = {"completed", "failed", "cancelled", "expired"}


def check(cluster: Cluster, *, undisturbed: bool = False) -> None:
    """Raises PromiseBroken for the first broken promise; where nothing was disturbed, no letter has a copy."""
    cluster.ledger.check()
    for what in _complaints(cluster):
        raise PromiseBroken(what)
    if undisturbed and not cluster.ledger.deaths:
        for what in _copies(cluster):
            raise PromiseBroken(what)


def _complaints(cluster: Cluster) -> Iterator[str]:
    letters = _letters(cluster)
    yield from _queues(cluster)
    yield from _payloads(cluster)
    for run, facts in cluster.ledger.facts.items():
        state = cluster.ledger.states.get(run)
        if facts.end_forgotten:  # it stands as it did before: nothing of it is in a queue any more
            continue
        if facts.kind in GRAPH_KINDS:
            yield from _graph(cluster, run, facts, state, letters[run])
            continue
        yield from _ending(cluster, run, facts, state)
        yield from _dead_letters(run, facts, state, letters[run])
        yield from _attempts(cluster, run, facts)
        yield from _timeline(cluster, run, facts)
        yield from _yielded(cluster, run, facts, state)
    accepted = [
        run for run, facts in cluster.ledger.facts.items() if facts.accepted and not facts.end_forgotten
    ]
    endings = Counter(cluster.ledger.states.get(run) for run in accepted)
    if sum(endings[ending] for ending in _ENDINGS) != len(accepted):
        yield f"{len(accepted)} runs were accepted and ended so: {dict(endings)}"
    yield from _results(cluster)
    for key in cluster.server.names("mousetrap:lock:"):
        ends_ms = int(cluster.server.field(key, "until_ms") or 0)
        if ends_ms > cluster.server.now_ms() + 1000 * LEASE_S:  # a dead holder's ends with its lease
            yield f"{key} is held after its lease"
    yield from _lists(cluster)
    yield from cluster.timetable.complaints()


def _queues(cluster: Cluster) -> Iterator[str]:
    if left := cluster.left():
        yield f"messages are left over: {left}"
    for key in untimed(cluster.server):
        yield f"{key} has no end"


def _payloads(cluster: Cluster) -> Iterator[str]:
    """None is left of a run that is not known, and those of a known run are what they were."""
    known = cluster.sweep_all()
    orphans = runs_with_payloads(cluster.server) - set(known)
    if orphans and not cluster.ledger.payloads_forgotten:
        yield f"payloads are left of {sorted(orphans)}, which are not known"
    for run, stored in known.items():
        if cluster.ledger.facts[run].damaged:
            continue
        if stored.unreadable:
            yield f"{run}: {'; '.join(stored.unreadable)}"
        elif stored.input_reference is None or stored.input["text"] != text_of(run):
            yield f"{run} has another input than was submitted, or a copy of it in its record"
        elif stored.state == "completed" and (
            stored.result_reference is None or stored.result["text"] != text_of(run)
        ):
            yield f"{run} has another result, or a copy of it in its record"


def _lists(cluster: Cluster) -> Iterator[str]:
    """A list by state shows each run in it, once. One whose list a store has forgotten may be missing; no list shows another run."""
    if not cluster.packed or any(facts.forgotten for facts in cluster.ledger.facts.values()):
        return
    stored = cluster.stored(cluster.ledger.facts)
    for state in RunState:
        found, expected = cluster.listed(state), sorted(it.id for it in stored.values() if it.state is state)
        lacking = Counter(expected) - Counter(found)
        lacking -= Counter(run for run in lacking if _may_lack(stored[run], cluster.ledger.lists_forgotten))
        if Counter(found) - Counter(expected) or lacking:
            yield f"a list of {state} runs shows {sorted(found)}, and not {expected}"


def _may_lack(run: StoredRun, forgotten: Collection[str]) -> bool:
    """Whether the store has forgotten something of a list that leads to the run by its state, or of what leads to the lists."""
    hints = hints_for(RunFilter(state=run.state), [run.pipeline])
    keys = {hint_key(name, run.accepted_ms // DAY_MS) for hint in hints for name in hint.lists}
    keys |= {HINTS, LONGEST_DELAY}
    return any(key in keys or key.startswith(hint_key(KEPT, 0)[:-1]) for key in forgotten)


def _ending(cluster: Cluster, run: str, facts: RunFacts, state: str | None) -> Iterator[str]:
    if not facts.accepted:
        may = _ENDINGS | {"rejected"} | ({"queued"} if cluster.ledger.names_forgotten else set())
        if state is not None and state not in may:
            yield f"{run} was recorded, and stays {state}"
        return
    if state not in _ENDINGS:
        yield f"{run} was accepted and is {state or 'unknown'}"
        return
    if facts.cancelled_at is not None and state != "cancelled" and not facts.redriven:
        yield f"{run} was cancelled, and is {state}"
    expected = _expected(facts, packed=cluster.packed)
    may = {expected}
    if facts.cancel_asked:
        may.add("cancelled")
    if facts.kind == "expiring":
        may.add("expired")
    if facts.damaged:
        may.add("failed")
    if _killed(cluster, run) or facts.redriven > facts.begun:  # its letter was not published, only recorded
        may.add("failed")
    if state not in may:
        yield f"{run} ({facts.kind}) should be {expected}, and is {state}"


def _graph(
    cluster: Cluster, run: str, facts: RunFacts, state: str | None, letters: list[Job]
) -> Iterator[str]:
    """A run of a graph has ended; it failed only where jobs of it were given up, and their letters are there."""
    assert cluster.drawn is not None
    if not facts.accepted:
        return
    if state not in _ENDINGS:
        yield f"{run} was accepted and is {state or 'unknown'}"
    if facts.cancelled_at is not None and state != "cancelled" and not facts.redriven:
        yield f"{run} was cancelled, and is {state}"
    if state == "failed" and not letters:
        yield f"{run} failed, and has no dead letter"
    may_fail = cluster.drawn.breaks(facts.kind) or facts.damaged or _killed(cluster, run)
    if state == "failed" and not may_fail and not cluster.drawn.bounded and not _stood_still(cluster, run):
        yield f"{run} ({facts.kind}) failed"
    if state == "cancelled" and not facts.cancel_asked:
        yield f"{run} is cancelled, and it was not asked for"
    if state == "expired" and facts.kind != "graph_expiring":
        yield f"{run} is expired, and has no end"
    if state == "completed" and may_fail and not facts.redriven and not _killed(cluster, run):
        yield f"{run} ({facts.kind}) completed, though too many of its children were given up"


def _results(cluster: Cluster) -> Iterator[str]:
    """A completed run of a graph shows the result of its last stage."""
    states = cluster.ledger.states
    completed = {
        run
        for run, facts in cluster.ledger.facts.items()
        if facts.kind in GRAPH_KINDS and states.get(run) == "completed"
    }
    for run, stored in cluster.stored(completed).items():
        facts = cluster.ledger.facts[run]
        found = stored.result or {}
        shown = (found.get("kind"), found.get("path"))
        if stored.result is None and cluster.drawn is not None and cluster.drawn.may_end:
            continue
        if shown not in ((facts.kind, []), (facts.kind, [UNKNOWN])) and not facts.forgotten:
            yield f"{run} is completed, and its result is {stored.result}"


def _expected(facts: RunFacts, *, packed: bool) -> str:
    """How a run of this kind ends where nothing else happens to it."""
    if facts.redriven:
        return "completed"
    if facts.kind in FALLS_BACK:  # an older run has no place for the failure in its records
        return "completed" if packed else "failed"
    return _EXPECTED.get(facts.kind, "completed")


def _killed(cluster: Cluster, run: str) -> bool:
    """True if enough workers died while running one job that the job may be given up for it."""
    jobs = {call.job for call in cluster.ledger.calls if call.run == run}
    return any(cluster.ledger.deaths[job] >= CRASHES for job in jobs)


def _dead_letters(run: str, facts: RunFacts, state: str | None, letters: list[Job]) -> Iterator[str]:
    # A letter of an earlier round can be a second copy, of which the redrive took the first.
    rounds = facts.rounds if state == "failed" else {}
    least = facts.begun if state == "failed" else facts.redriven
    current = [job for job in letters if job.generation >= rounds.get(job.id, least)]
    if state == "failed" and not current:
        yield f"{run} failed, and has no dead letter"
    if state != "failed" and current:
        yield f"{run} is {state}, and has a dead letter"


def _attempts(cluster: Cluster, run: str, facts: RunFacts) -> Iterator[str]:
    if facts.redriven:
        return
    begun = Counter((call.stage, call.attempt) for call in cluster.ledger.calls if call.run == run)
    if any(attempt > TRIES for _, attempt in begun):
        yield f"{run} was tried more than {TRIES} times"
    if facts.kind in ("away", "gone") and any(attempt > 1 for _, attempt in begun):
        yield f"{run} met an outage, and it counted as an attempt"
    if cluster.ledger.kills[run] > CRASHES and not facts.forgotten:
        yield f"{run} killed {cluster.ledger.kills[run]} workers, and may kill {CRASHES}"


def _timeline(cluster: Cluster, run: str, facts: RunFacts) -> Iterator[str]:
    recorded: Counter[tuple[bytes, bytes]] = Counter()
    for event in events(cluster.server, run):
        recorded[event[b"kind"], event[b"job"]] += 1
    for (kind, job), count in recorded.items():
        if kind in (b"finished", b"completed", b"cancelled", b"expired") and count > 1:
            yield f"{run}: {kind.decode()} was recorded {count} times for {job.decode() or 'the run'}"
        if kind in (b"gave_up", b"failed") and count > 1 + facts.redriven:
            yield f"{run}: {kind.decode()} was recorded {count} times"


def _yielded(cluster: Cluster, run: str, facts: RunFacts, state: str | None) -> Iterator[str]:
    """Values are those of ever newer claims, each once and in its order; the claim that decided has all of its own."""
    newest, numbers = 0, defaultdict[int, list[int]](list)
    for event in events(cluster.server, run):
        if event[b"kind"] != b"yielded":
            continue
        value = json.loads(event[b"data"])
        if value["fence"] < newest:
            yield f"{run}: a value of fence {value['fence']} came after one of fence {newest}"
        newest = max(newest, value["fence"])
        numbers[value["fence"]].append(value["number"])
    for fence, kept in numbers.items():
        if kept != list(range(1, len(kept) + 1)) and not facts.forgotten:
            yield f"{run}: under fence {fence} the values {kept} are kept"
    if facts.kind == "yielding" and state == "completed" and not facts.forgotten:
        decided = result(cluster.server, run)["fences"][0]
        if len(numbers[decided]) != STEPS:
            yield f"{run}: the attempt under fence {decided} was done, and has {len(numbers[decided])} values"
    for call in cluster.ledger.calls:
        if (
            call.run == run
            and call.stage == "add"
            and (call.job, call.fence) not in cluster.ledger.surrounded
        ):
            yield f"{run}: its handler was called without its middleware"


def _copies(cluster: Cluster) -> Iterator[str]:
    for run, letters in _letters(cluster).items():
        for (job, generation), count in Counter((each.id, each.generation) for each in letters).items():
            if count > 1:
                yield f"{run}: job {job} has {count} dead letters of generation {generation}"


def _stood_still(cluster: Cluster, run: str) -> bool:
    """Whether the store has forgotten what no message has any more, and all that its letters say is that."""
    messages = [message for queue in cluster.queues for message in cluster.broker.waiting(dead_queue(queue))]
    reasons = {it.headers["mousetrap-reason"] for it in messages if decode(it.body).run_id == run}
    return cluster.ledger.facts[run].forgotten and reasons <= {"fan-stalled", "fan-forgotten"}


def _letters(cluster: Cluster) -> dict[str, list[Job]]:
    letters: defaultdict[str, list[Job]] = defaultdict(list)
    for queue in cluster.queues:
        for message in cluster.broker.waiting(dead_queue(queue)):
            job = decode(message.body)
            letters[job.run_id].append(job)
    return letters
