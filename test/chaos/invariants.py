"""Lists the breaches of what must hold of every history."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from chaos.calls import by_job
from chaos.claims import Job, step
from chaos.history import History, StoredRun
from chaos.ledger import Line
from chaos.limits import overfull
from chaos.linearizability import explain
from chaos.scheduler import TICKED
from chaos.workload import KINDS, PAYLOAD_CANARY, SIGNING_CANARY, Kind
from mousetrap.schedules import run_id_of_tick, ticks_between

#: States that a run ends in after it was accepted.
ENDED = frozenset({"completed", "failed", "cancelled", "expired"})
#: Seconds that the clock of the broker's or the store's delays may differ from ours in the last digit.
_GRAIN = 0.002

Invariant = Callable[[History], Iterator[str]]


def every_accepted_run_ended(history: History) -> Iterator[str]:
    """Lost: accepted, and neither completed nor dead nor cancelled nor expired."""
    for run in sorted(history.runs_that("accepted") - history.deleted):
        stored = history.runs.get(run)
        if stored is None:
            yield f"run {run} was accepted and the store knows nothing of it"
        elif stored.state not in ENDED:
            yield f"run {run} was accepted and is {stored.state} still; its timeline: {' '.join(stored.events)}"


def what_was_forgotten_goes_on(history: History) -> Iterator[str]:
    """A run that the store has forgotten something of ends all the same, unless it had ended before and its messages were gone."""
    letters = {letter.run for letter in history.dead}
    for run in sorted(history.runs_that("accepted") & history.forgotten):
        stored, kind = history.runs.get(run), KINDS[history.kinds[run]]
        last = kind.pipeline.stages[-1].name
        was_done = any(line.run == run and line.stage == last for line in history.of("done"))
        had_ended = was_done or run in letters or kind.called_off or kind.expires
        if not had_ended and (stored is None or stored.state not in ENDED):
            yield f"run {run} was accepted and is {stored.state if stored else 'unknown'}, and had not ended"


def every_recorded_run_ended(history: History) -> Iterator[str]:
    """Also those whose caller died before it got an answer."""
    accepted = history.runs_that("accepted")
    for run, stored in sorted(history.runs.items()):
        if run not in accepted | history.deleted and stored.state not in ENDED | {"rejected"}:
            yield f"run {run} was recorded, never accepted, and is {stored.state}; its timeline: {' '.join(stored.events)}"


def what_was_cancelled_stays_so(history: History) -> Iterator[str]:
    """A run whose caller got the answer `cancelled` stays so."""
    for run in sorted(history.runs_that("cancelled")):
        if run in history.runs and (state := history.runs[run].state) != "cancelled":
            yield f"run {run} was cancelled, and is {state}"


def nothing_unexpected_happened(history: History) -> Iterator[str]:
    """Unexpected: a run, an effect or a dead letter that no caller asked for."""
    asked = history.runs_that("attempted")
    seen = {
        "the store": set(history.runs),
        "a handler": {line.run for line in history.ledger if line.job},
        "the table of effects": {effect.run for effect in history.effects},
        "a dead queue": {letter.run for letter in history.dead},
    }
    for where, runs in seen.items():
        for run in sorted(runs - asked):
            yield f"{where} knows run {run or '(none)'}, which no caller attempted"


def no_effect_happened_twice(history: History) -> Iterator[str]:
    """Effects twice: more than one row for a stage of a run, under whatever keys."""
    rows = Counter((effect.run, effect.stage) for effect in history.effects)
    for (run, stage), count in sorted(rows.items()):
        if count > 1:
            yield f"stage {stage} of run {run} has {count} effects, so its jobs had {count} idempotency keys"


def completed_runs_did_all_their_work(history: History) -> Iterator[str]:
    """A completed run has one effect of each stage and the result that the stages make together."""
    rows = {(effect.run, effect.stage) for effect in history.effects}
    for run, stored in _of_known_kind(history):
        if stored.state != "completed":
            continue
        kind = KINDS[history.kinds[run]]
        stages = kind.pipeline.stages
        for place in _places(kind):
            if (run, place) not in rows:
                yield f"run {run} completed without the effect of its stage {place}"
        if stored.done != len(stages):
            yield f"run {run} of {len(stages)} stages completed with a result that {stored.done} made"


def joins_were_given_all_that_was_done(history: History) -> Iterator[str]:
    """A completed run with children: its join has counted each child once, and read each output in its order."""
    for run, stored in _of_known_kind(history):
        kind = KINDS[history.kinds[run]]
        if stored.state != "completed" or not kind.children:
            continue
        done = kind.children - kind.lost
        if stored.counts != (kind.children, done, kind.lost, done):
            yield f"run {run} of {kind.children} children, {kind.lost} of them poisonous, was joined as {stored.counts}"


def runs_end_as_their_kind_must(history: History) -> Iterator[str]:
    """Innocent dead, and guilty alive."""
    for run, stored in _of_known_kind(history):
        ends = KINDS[history.kinds[run]].ends
        if stored.state in ENDED and stored.state not in ends:
            yield f"run {run} is {stored.state}, and ought to be {' or '.join(sorted(ends))}"


def dead_letters_are_those_of_failed_runs(history: History) -> Iterator[str]:
    """A dead letter for each failed run and for no other, with the reason of its kind; a repeat has the same id."""
    failed = {run for run, stored in history.runs.items() if stored.state == "failed"}
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for letter in history.dead:
        ids[letter.run].add(letter.id)
        kind = KINDS.get(history.kinds.get(letter.run, ""))
        if letter.run not in failed and not (kind and kind.children):
            yield f"{letter.queue} holds a letter ({letter.reason}) of run {letter.run}, which did not fail"
        elif kind and letter.reason != kind.reason:
            yield f"run {letter.run} was buried for {letter.reason!r}, and ought to be for {kind.reason!r}"
    for run in sorted(failed):
        if len(ids[run]) != 1:
            yield f"run {run} failed and has {len(ids[run])} dead letters"
    for run, stored in _of_known_kind(history):
        kind = KINDS[history.kinds[run]]
        least = kind.lost if stored.state == "completed" else 0
        if kind.children and not least <= len(ids[run]) <= kind.lost:
            yield f"run {run} is {stored.state} and has {len(ids[run])} dead letters of {kind.lost} poisonous children"


def every_payload_is_there(history: History) -> Iterator[str]:
    """No job missed the payload that it refers to, and what a run's record refers to can be read."""
    for letter in history.dead:
        if letter.reason.startswith("payload-"):
            yield f"{letter.queue} holds a letter of run {letter.run} for {letter.reason}"
    for run, stored in sorted(history.runs.items()):
        for fault in stored.unreadable:
            yield f"run {run} cannot be read: {fault}"


def payloads_are_those_of_known_runs(history: History) -> Iterator[str]:
    """Orphans: payloads that a caller put and no run refers to, after a sweep."""
    for run in sorted(history.payloads - set(history.runs)):
        yield f"payloads of run {run} are left, which the store does not know"


def nothing_was_begun_too_often(history: History) -> Iterator[str]:
    """Attempts are bounded by the policy, and workers killed by one attempt by the guard against such jobs."""
    attempts: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    begins = Counter((line.run, line.stage) for line in history.of("begun"))
    for line in history.of("begun"):
        attempts[line.run, line.stage].add(line.attempt)
    for (run, stage), count in sorted(begins.items()):
        kind = KINDS.get(history.kinds.get(run, ""))
        bound = kind and kind.pipeline.stage(stage)
        most = bound.retry.attempts if bound else None
        if most is not None and max(attempts[run, stage]) > most:
            yield f"stage {stage} of run {run} came to attempt {max(attempts[run, stage])} of {most}"
        if kind and kind.begins is not None and count > kind.begins:
            yield f"stage {stage} of run {run} was begun {count} times, and {kind.begins} is the most"


def nothing_is_left_in_the_queues(history: History) -> Iterator[str]:
    """Ready, unacknowledged, on the delay ladder, or on the way between two queues."""
    for queue, messages in sorted(history.depths.items()):
        if messages:
            yield f"queue {queue} holds {messages} messages at the end"


def fences_only_grow(history: History) -> Iterator[str]:
    """A claim asked for after another one had led to a begin has the greater fence; no two begins share one."""
    jobs: defaultdict[str, list[Line]] = defaultdict(list)
    locks: defaultdict[str, list[Line]] = defaultdict(list)
    for line in history.of("begun"):
        jobs[f"job {line.job} of run {line.run}"].append(line)
        if line.key:
            locks[f"lock {line.key}"].append(line)
    for name, lines in jobs.items():
        yield from _falling(name, lines, lambda line: line.fence)
    for name, lines in locks.items():
        yield from _falling(name, lines, lambda line: line.lock_fence)


def _falling(name: str, lines: list[Line], fence_of: Callable[[Line], int]) -> Iterator[str]:
    for fence, count in Counter(map(fence_of, lines)).items():
        if count > 1:
            yield f"{name} was begun {count} times under fence {fence}"
    greatest = 0
    begun = sorted(lines, key=lambda line: line.at)
    for line in sorted(lines, key=lambda line: line.asked):
        while begun and begun[0].at < line.asked:
            greatest = max(greatest, fence_of(begun.pop(0)))
        if line.asked and fence_of(line) < greatest:
            yield f"{name} got fence {fence_of(line)} for run {line.run} after {greatest}"


def nothing_began_after_its_run_was_over(history: History) -> Iterator[str]:
    """No claim that was asked for after a cancel or a rejection was answered, or after the expiry, led to a begin."""
    cancelled = {line.run: line.at for line in history.of("cancelled")}
    for line in history.of("begun"):
        if not line.asked:
            continue  # an isolated handler's process does not know
        if line.run in cancelled and line.asked > cancelled[line.run]:
            late = line.asked - cancelled[line.run]
            yield f"stage {line.stage} of run {line.run} began on a claim of {late:.3f} s after the cancel"
        stored = history.runs.get(line.run)
        asked_ms = (history.epoch + line.asked) * 1000
        if stored and stored.expires_ms and asked_ms > stored.expires_ms + _GRAIN * 1000:
            late = (asked_ms - stored.expires_ms) / 1000
            yield f"stage {line.stage} of run {line.run} began on a claim of {late:.3f} s after it expired"


def rejected_runs_did_nothing(history: History) -> Iterator[str]:
    """A run whose caller got a refusal had no effect."""
    begun = history.runs_that("begun")
    for run, stored in sorted(history.runs.items()):
        if stored.state == "rejected" and run in begun:
            yield f"run {run} was rejected and a handler began it"


def nothing_began_too_early(history: History) -> Iterator[str]:
    """An attempt that named the time of the next one was not tried again before that."""
    due: dict[tuple[str, int], float] = {}
    for line in history.of("failed"):
        if line.after is not None:
            next_one = (line.job, line.attempt + 1)
            # An attempt that was made twice named two times, and either may be the one on record.
            due[next_one] = min(line.at + line.after, due.get(next_one, math.inf))
    for line in history.of("begun"):
        at = due.get((line.job, line.attempt))
        if at is not None and line.at < at - _GRAIN:
            yield f"attempt {line.attempt} of run {line.run} began {at - line.at:.3f} s too early"


def no_two_held_a_lock_at_once(history: History) -> Iterator[str]:
    """Between begin and end of an attempt whose outcome counted, no other such one had its lock."""
    ends = {(line.job, line.fence, line.worker): line.at for line in history.of("done")}
    counted = {(line.job, line.fence, line.worker) for line in history.of("recorded")}
    held: defaultdict[str, list[tuple[float, float, Line]]] = defaultdict(list)
    for line in history.of("begun"):
        which = (line.job, line.fence, line.worker)
        if line.key and which in counted and which in ends:
            held[line.key].append((line.at, ends[which], line))
    for key, spans in held.items():
        for (_, end, first), (begin, _, second) in pairwise(sorted(spans, key=lambda span: span[:2])):
            if begin < end:
                yield f"runs {first.run} and {second.run} held lock {key} together for {end - begin:.3f} s"


def no_more_than_a_limit_ran_at_once(history: History) -> Iterator[str]:
    """Of a kind with a limit, but for attempts whose lease may have ended and those that another worker took over."""
    for kind, most, runs in overfull(history):
        yield f"{len(runs)} runs of the kind {kind} ran at once, and {most} is the most: {', '.join(runs)}"


def limits_have_all_their_room_at_the_end(history: History) -> Iterator[str]:
    """What dead workers held has come back, and no job stands in a line."""
    for stage, (held, waiting) in sorted(history.limits.items()):
        if held or waiting:
            yield f"at the end {held} jobs hold places of {stage}, and {waiting} stand in its lines"


def timelines_end_once(history: History) -> Iterator[str]:
    """One end, and nothing after it."""
    for run, stored in sorted(history.runs.items()):
        ends = [kind for kind in stored.events if kind in ENDED]
        if stored.state in ENDED and (len(ends) != 1 or stored.events[-1] not in ENDED):
            yield f"run {run} is {stored.state} and its timeline goes: {' '.join(stored.events)}"


def every_key_has_a_time_to_live(history: History) -> Iterator[str]:
    """A store that only grows dies."""
    for key in history.eternal:
        yield f"key {key} never expires"


def no_secret_is_in_a_log(history: History) -> Iterator[str]:
    """Neither a key that signs nor a payload is written to a log."""
    for name, lines in history.logs.items():
        for line in lines:
            for canary in (PAYLOAD_CANARY, SIGNING_CANARY):
                if canary in line:
                    yield f"{name} logged {canary}: {line[:200]}"


def no_defect_is_in_a_log(history: History) -> Iterator[str]:
    """A traceback in a log is an unexpected error."""
    for name, lines in history.logs.items():
        for place, line in enumerate(lines):
            if _DEFECT.search(line):
                yield f"{name}: " + "\n".join(lines[place : place + 40])


def claims_and_decisions_are_linearizable(history: History) -> Iterator[str]:
    """The answers that workers got about each job could have come from a store that takes one call after the other."""
    refused = history.runs_that("refused")

    def stoppable(run: str) -> bool:
        kind = KINDS.get(history.kinds.get(run, ""))
        return run in refused or kind is None or "cancelled" in kind.ends or kind.expires is not None

    for job, calls in sorted(by_job(history.calls, stoppable).items()):
        if (why := explain(calls, Job(), step)) is not None:
            yield f"job {job}: {why}"


def each_tick_started_one_run(history: History) -> Iterator[str]:
    """A run for each tick that its schedule's policy keeps, and none for anything else."""
    ticks: set[str] = set()
    for it in history.schedules:
        found = ticks_between(it.schedule, it.created_ms, it.decided_ms)
        ids = {run_id_of_tick(it.schedule, it.created_ms, tick) for tick in found}
        lost = ids - history.runs_that("accepted") if it.schedule.missed == "all" else set()
        if lost or it.owed:
            yield f"schedule {it.name} has {len(ids)} ticks, {len(lost)} of them without a run, and owes {len(it.owed)}"
        ticks |= ids
    runs = {line.run for line in history.of("attempted") if line.kind == TICKED}
    for run in sorted(runs - ticks):
        yield f"run {run} was started by a schedule, and is of no tick"


def workers_end_in_order(history: History) -> Iterator[str]:
    """Asked to stop with nothing left to do, each ends with 0."""
    for code in history.exits:
        if code != 0:
            yield f"a worker that was asked to stop at the end exited with {code}"


INVARIANTS: Mapping[str, Invariant] = {
    invariant.__name__: invariant
    for invariant in (
        every_accepted_run_ended,
        what_was_forgotten_goes_on,
        every_recorded_run_ended,
        what_was_cancelled_stays_so,
        nothing_unexpected_happened,
        no_effect_happened_twice,
        completed_runs_did_all_their_work,
        joins_were_given_all_that_was_done,
        runs_end_as_their_kind_must,
        dead_letters_are_those_of_failed_runs,
        every_payload_is_there,
        payloads_are_those_of_known_runs,
        nothing_was_begun_too_often,
        nothing_is_left_in_the_queues,
        fences_only_grow,
        nothing_began_after_its_run_was_over,
        rejected_runs_did_nothing,
        nothing_began_too_early,
        no_two_held_a_lock_at_once,
        no_more_than_a_limit_ran_at_once,
        limits_have_all_their_room_at_the_end,
        timelines_end_once,
        every_key_has_a_time_to_live,
        no_secret_is_in_a_log,
        no_defect_is_in_a_log,
        claims_and_decisions_are_linearizable,
        each_tick_started_one_run,
        workers_end_in_order,
    )
}

#: Those that hold of what the store remembers. All others hold of each run: no effect happens twice, and none too early.
OF_WHAT_IS_REMEMBERED = frozenset(
    (
        every_accepted_run_ended,
        every_recorded_run_ended,
        what_was_cancelled_stays_so,
        runs_end_as_their_kind_must,
        dead_letters_are_those_of_failed_runs,
        every_payload_is_there,
        fences_only_grow,
        nothing_began_after_its_run_was_over,
        claims_and_decisions_are_linearizable,
    )
)

_DEFECT = re.compile(
    r"^ *Traceback|could not handle a message|exception was never retrieved|receiving message .* failed"
)


def breaches(history: History) -> dict[str, list[str]]:
    """What is broken, by invariant; empty when all hold."""
    found = {
        name: list(invariant(history.remembered if invariant in OF_WHAT_IS_REMEMBERED else history))
        for name, invariant in INVARIANTS.items()
    }
    return {name: lines for name, lines in found.items() if lines}


def assert_all_hold(history: History) -> None:
    """Raises AssertionError that names each broken invariant, with its first breaches."""
    found = breaches(history)
    report = [
        f"{name}: {len(lines)} breaches\n" + "\n".join(f"    {line}" for line in lines[:5])
        for name, lines in found.items()
    ]
    assert not found, "\n".join(report)


def _places(kind: Kind) -> Iterator[str]:
    """Where a completed run has had an effect: in each stage, and for each child."""
    for stage in kind.pipeline.stages:
        if kind.children and stage is kind.pipeline.stages[1]:
            yield from (f"{stage.name} {index}" for index in range(kind.children))
        else:
            yield stage.name


def _of_known_kind(history: History) -> Iterator[tuple[str, StoredRun]]:
    kinds = history.kinds
    for run, stored in sorted(history.runs.items()):
        if run in kinds:
            yield run, stored
