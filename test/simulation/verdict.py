"""What must be true when everything is healed and nothing is left to do."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from mousetrap.jobs import Job, dead_queue, decode
from simulation.handlers import CRASHES, QUEUES, TRIES
from simulation.ledger import Fate, Wrong, untimed
from simulation.world import LEASE, World

_MEANT = dict.fromkeys(("poison", "hopeless", "gone", "deadly", "odd", "cancelling"), "failed")
_ENDINGS = {"completed", "failed", "cancelled", "expired"}


def check(world: World) -> None:
    """Raises Wrong for the first promise that was not kept."""
    world.ledger.check()
    for what in _complaints(world):
        raise Wrong(what)


def _complaints(world: World) -> Iterator[str]:
    letters = _letters(world)
    yield from _queues(world)
    for run, fate in world.ledger.fates.items():
        state = world.ledger.states.get(run)
        yield from _ending(world, run, fate, state)
        yield from _dead_letters(run, fate, state, letters[run])
        yield from _attempts(world, run, fate)
        yield from _timeline(world, run, fate)
    accepted = [run for run, fate in world.ledger.fates.items() if fate.accepted]
    endings = Counter(world.ledger.states.get(run) for run in accepted)
    if sum(endings[ending] for ending in _ENDINGS) != len(accepted):
        yield f"{len(accepted)} runs were accepted and ended so: {dict(endings)}"
    for key in world.server.names("mousetrap:lock:"):
        ends_ms = int(world.server.field(key, "until_ms") or 0)
        if ends_ms > world.server.now_ms() + 1000 * LEASE:  # a dead holder's ends with its lease
            yield f"{key} is held for ever"


def _queues(world: World) -> Iterator[str]:
    kept = {dead_queue(queue) for queue in QUEUES}
    if left := {queue: count for queue, count in world.broker.left().items() if queue not in kept}:
        yield f"messages are left over: {left}"
    for key in untimed(world.server):
        yield f"{key} has no end"


def _ending(world: World, run: str, fate: Fate, state: str | None) -> Iterator[str]:
    if not fate.accepted:
        if state is not None and state not in _ENDINGS | {"rejected"}:
            yield f"{run} was recorded, and is {state} for ever"
        return
    if state not in _ENDINGS:
        yield f"{run} was accepted and is {state or 'unknown'}"
        return
    if fate.cancelled_at is not None and state != "cancelled" and not fate.redriven:
        yield f"{run} was cancelled, and is {state}"
    meant = "completed" if fate.redriven else _MEANT.get(fate.kind, "completed")
    may = {meant}
    if fate.cancel_asked:
        may.add("cancelled")
    if fate.kind == "expiring":
        may.add("expired")
    if _killed(world, run) or fate.redriven > fate.begun:  # its letter was not sent, whatever was on record
        may.add("failed")
    if state not in may:
        yield f"{run} ({fate.kind}) should be {meant}, and is {state}"


def _killed(world: World, run: str) -> bool:
    """Whether so many workers died over one job of the run that it may be given up for that."""
    jobs = {performance.job for performance in world.ledger.performances if performance.run == run}
    return any(world.ledger.deaths[job] >= CRASHES for job in jobs)


def _dead_letters(run: str, fate: Fate, state: str | None, letters: list[Job]) -> Iterator[str]:
    # A letter of an earlier round can be a second copy, of which the redrive took the first.
    round = fate.begun if state == "failed" else fate.redriven
    current = [job for job in letters if job.generation >= round]
    if state == "failed" and not current:
        yield f"{run} failed, and no dead letter tells of it"
    if state != "failed" and current:
        yield f"{run} is {state}, and has a dead letter"


def _attempts(world: World, run: str, fate: Fate) -> Iterator[str]:
    if fate.redriven:
        return
    begun = Counter(
        (performance.stage, performance.attempt)
        for performance in world.ledger.performances
        if performance.run == run
    )
    if any(attempt > TRIES for _, attempt in begun):
        yield f"{run} was tried more than {TRIES} times"
    if fate.kind in ("away", "gone") and any(attempt > 1 for _, attempt in begun):
        yield f"{run} met an outage, and it counted as an attempt"
    if world.ledger.kills[run] > CRASHES:
        yield f"{run} killed {world.ledger.kills[run]} workers, and may kill {CRASHES}"


def _timeline(world: World, run: str, fate: Fate) -> Iterator[str]:
    told: Counter[tuple[bytes, bytes]] = Counter()
    for _, event in world.server.command("XRANGE", f"mousetrap:run:{run}:events", "-", "+"):
        told[event[b"kind"], event[b"job"]] += 1
    for (kind, job), count in told.items():
        if kind in (b"finished", b"completed", b"cancelled", b"expired") and count > 1:
            yield f"{run}: {kind.decode()} was told {count} times of {job.decode() or 'the run'}"
        if kind in (b"gave_up", b"failed") and count > 1 + fate.redriven:
            yield f"{run}: {kind.decode()} was told {count} times"


def _letters(world: World) -> dict[str, list[Job]]:
    letters: defaultdict[str, list[Job]] = defaultdict(list)
    for queue in QUEUES:
        for message in world.broker.waiting(dead_queue(queue)):
            job = decode(message.body)
            letters[job.run_id].append(job)
    return letters
