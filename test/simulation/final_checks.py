"""Checks the promises at the end, when all faults are repaired."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from mousetrap.jobs import Job, dead_queue, decode
from simulation.cluster import LEASE_S, Cluster
from simulation.handlers import CRASHES, QUEUES, TRIES
from simulation.ledger import PromiseBroken, RunFacts, untimed

_EXPECTED = dict.fromkeys(("poison", "hopeless", "gone", "deadly", "odd", "cancelling"), "failed")
_ENDINGS = {"completed", "failed", "cancelled", "expired"}


def check(cluster: Cluster) -> None:
    """Raises PromiseBroken for the first broken promise."""
    cluster.ledger.check()
    for what in _complaints(cluster):
        raise PromiseBroken(what)


def _complaints(cluster: Cluster) -> Iterator[str]:
    letters = _letters(cluster)
    yield from _queues(cluster)
    for run, facts in cluster.ledger.facts.items():
        state = cluster.ledger.states.get(run)
        yield from _ending(cluster, run, facts, state)
        yield from _dead_letters(run, facts, state, letters[run])
        yield from _attempts(cluster, run, facts)
        yield from _timeline(cluster, run, facts)
    accepted = [run for run, facts in cluster.ledger.facts.items() if facts.accepted]
    endings = Counter(cluster.ledger.states.get(run) for run in accepted)
    if sum(endings[ending] for ending in _ENDINGS) != len(accepted):
        yield f"{len(accepted)} runs were accepted and ended so: {dict(endings)}"
    for key in cluster.server.names("mousetrap:lock:"):
        ends_ms = int(cluster.server.field(key, "until_ms") or 0)
        if ends_ms > cluster.server.now_ms() + 1000 * LEASE_S:  # a dead holder's ends with its lease
            yield f"{key} is held after its lease"


def _queues(cluster: Cluster) -> Iterator[str]:
    kept = {dead_queue(queue) for queue in QUEUES}
    if left := {queue: count for queue, count in cluster.broker.left().items() if queue not in kept}:
        yield f"messages are left over: {left}"
    for key in untimed(cluster.server):
        yield f"{key} has no end"


def _ending(cluster: Cluster, run: str, facts: RunFacts, state: str | None) -> Iterator[str]:
    if not facts.accepted:
        if state is not None and state not in _ENDINGS | {"rejected"}:
            yield f"{run} was recorded, and stays {state}"
        return
    if state not in _ENDINGS:
        yield f"{run} was accepted and is {state or 'unknown'}"
        return
    if facts.cancelled_at is not None and state != "cancelled" and not facts.redriven:
        yield f"{run} was cancelled, and is {state}"
    expected = "completed" if facts.redriven else _EXPECTED.get(facts.kind, "completed")
    may = {expected}
    if facts.cancel_asked:
        may.add("cancelled")
    if facts.kind == "expiring":
        may.add("expired")
    if _killed(cluster, run) or facts.redriven > facts.begun:  # its letter was not published, only recorded
        may.add("failed")
    if state not in may:
        yield f"{run} ({facts.kind}) should be {expected}, and is {state}"


def _killed(cluster: Cluster, run: str) -> bool:
    """True if enough workers died while running one job that the job may be given up for it."""
    jobs = {call.job for call in cluster.ledger.calls if call.run == run}
    return any(cluster.ledger.deaths[job] >= CRASHES for job in jobs)


def _dead_letters(run: str, facts: RunFacts, state: str | None, letters: list[Job]) -> Iterator[str]:
    # A letter of an earlier round can be a second copy, of which the redrive took the first.
    round = facts.begun if state == "failed" else facts.redriven
    current = [job for job in letters if job.generation >= round]
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
    if cluster.ledger.kills[run] > CRASHES:
        yield f"{run} killed {cluster.ledger.kills[run]} workers, and may kill {CRASHES}"


def _timeline(cluster: Cluster, run: str, facts: RunFacts) -> Iterator[str]:
    recorded: Counter[tuple[bytes, bytes]] = Counter()
    for _, event in cluster.server.command("XRANGE", f"mousetrap:run:{run}:events", "-", "+"):
        recorded[event[b"kind"], event[b"job"]] += 1
    for (kind, job), count in recorded.items():
        if kind in (b"finished", b"completed", b"cancelled", b"expired") and count > 1:
            yield f"{run}: {kind.decode()} was recorded {count} times for {job.decode() or 'the run'}"
        if kind in (b"gave_up", b"failed") and count > 1 + facts.redriven:
            yield f"{run}: {kind.decode()} was recorded {count} times"


def _letters(cluster: Cluster) -> dict[str, list[Job]]:
    letters: defaultdict[str, list[Job]] = defaultdict(list)
    for queue in QUEUES:
        for message in cluster.broker.waiting(dead_queue(queue)):
            job = decode(message.body)
            letters[job.run_id].append(job)
    return letters
