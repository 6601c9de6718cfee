"""Records what handlers and store did, and checks the promises."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET

from mousetrap.jobs import DEFAULT_PRIORITY, Job
from mousetrap.run_store.keys import HINTS, LONGEST_DELAY, OPENED, OPENED_DELAYED
from mousetrap.shapes import ENDS
from mousetrap.testing.simulation.process import Process
from mousetrap.testing.simulation.store_server import StoreServer
from simulation.stored import fences, is_of_a_fan, run_number, run_states

#: Transitions that change neither a run nor a fence.
_READING = {"ended", "look", "renew", "unpublished", "published", "progress"}
#: Those that record an outcome, or give the job back.
_DECISIONS = {
    "done",
    "complete",
    "retry",
    "wait_out",
    "give_up",
    "release",
    "plain_decision",
    "plain_completion",
}
#: How many arguments the packed `done` has.
_PACKED_DONE = 8
#: The list of the runs that have payloads.
_PAYLOADS = b"mousetrap:payloads"
#: Where schedules are kept, which have no end.
_SCHEDULES = "mousetrap:{schedules}"
#: The run that a key is of.
_TAG = re.compile(r"mousetrap:\{(.+?)\}:")
#: A list of runs of one day.
_LIST = re.compile(r"mousetrap:[^{]+:\d+")
#: What leads to those lists.
_TO_LISTS = (HINTS, LONGEST_DELAY)
#: After the response to a cancel, a connected worker must have stopped within this time.
_CANCEL_NOTICE_S = 2.0


@dataclass(slots=True)
class HandlerCall:
    """One call of a handler."""

    process: Process
    run: str
    stage: str
    job: str
    attempt: int
    fence: int
    lock_fence: int
    began: float
    #: True if the worker could receive all news in time, from the beginning.
    undisturbed: bool = True
    ended: float | None = None
    #: True after the handler returned or raised; if its process died, never.
    over: bool = False


@dataclass(slots=True)
class RunFacts:
    """The facts of a run that are known outside the system."""

    kind: str
    #: True if its payloads go by reference, and if one of them was broken.
    large: bool = False
    #: The schedule that started it; empty for a caller.
    schedule: str = ""
    #: Of all its messages.
    priority: int = DEFAULT_PRIORITY
    damaged: bool = False
    #: True if its submitter received the acceptance.
    accepted: bool = False
    cancel_asked: bool = False
    #: The time of the response that it is cancelled.
    cancelled_at: float | None = None
    #: The newest generation recorded by a redrive, and the newest that a worker was granted.
    redriven: int = 0
    begun: int = 0
    #: The newest generation of each job that a worker was granted.
    rounds: dict[str, int] = field(default_factory=dict)
    #: True if the store has forgotten something of it, and if that it had ended.
    forgotten: bool = False
    end_forgotten: bool = False


class PromiseBroken(AssertionError):
    """A promise was broken."""


@dataclass
class Ledger:
    """The facts; `check` raises PromiseBroken for the first one that must not be."""

    now: Callable[[], float]
    #: The kinds of runs with fan-outs and forks.
    graph_kinds: Collection[str] = ()
    #: The stage with a limit, and how many of its jobs may run at once.
    limited_stage: str = ""
    places: int = 0
    facts: dict[str, RunFacts] = field(default_factory=dict)
    calls: list[HandlerCall] = field(default_factory=list)
    #: Job and fence of each attempt that entered its middleware.
    surrounded: set[tuple[str, int]] = field(default_factory=set)
    #: The idempotency keys under which each (run, stage) wrote to the outside, and the greatest fence it saw of each.
    effects: defaultdict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    greatest: dict[str, int] = field(default_factory=dict)
    #: The process that was granted each job last and has not recorded an outcome; and how many died so.
    holders: dict[str, Process] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    #: How many workers the handler of each run has killed.
    kills: Counter[str] = field(default_factory=Counter)
    #: How often a handler of each run has met an outage.
    outages: Counter[str] = field(default_factory=Counter)
    #: True if the store has forgotten which runs have payloads: those of unknown ones end by their time then.
    payloads_forgotten: bool = False
    #: The claimed jobs that are in a fan, or have opened one: these go on while their run has failed.
    of_fans: set[str] = field(default_factory=set)
    states: dict[str, str] = field(default_factory=dict)
    #: Whether the store has forgotten what was last decided for a schedule.
    schedules_forgotten: bool = False
    #: Whether the store has forgotten which runs are recorded and not published.
    names_forgotten: bool = False
    #: The lists of runs of which it has forgotten something, and what leads to them: the runs themselves may be remembered.
    lists_forgotten: set[str] = field(default_factory=set)
    fences: dict[str, int] = field(default_factory=dict)
    lock_fences: dict[str, int] = field(default_factory=dict)
    due: dict[tuple[str, int, int], float] = field(default_factory=dict)
    bodies: dict[tuple[str, int, int, int, int], bytes] = field(default_factory=dict)
    #: Broken promises; reported after the step, since an exception inside the event loop would be lost.
    wrong: list[str] = field(default_factory=list)

    # What handlers write

    def begins(self, call: HandlerCall) -> None:
        """A handler was called."""
        if call.lock_fence:
            self._alone(call)
        if call.stage == self.limited_stage:
            self._within_limit(call)
        self.calls.append(call)
        facts, now = self.facts[call.run], self.now()
        late = facts.cancelled_at is not None and now > facts.cancelled_at + _CANCEL_NOTICE_S
        if late and call.undisturbed:
            self._report(f"{call.run}.{call.stage} began long after the response to its cancel")
        failed = self.states.get(call.run) == "failed" and facts.redriven <= facts.begun
        if failed and call.undisturbed and call.job not in self.of_fans:
            self._report(f"{call.run}.{call.stage} began when the run had failed")

    def follows(self, call: HandlerCall, fence: int, recorded: int) -> None:
        """Checks that a later stage begins on the recorded outcome; `fence` is the one that its input was decided under."""
        if fence != recorded and not self.facts[call.run].forgotten:
            on = f"the outcome under fence {recorded} is recorded" if recorded else "no outcome is recorded"
            self._report(f"{call.run}.{call.stage} began on an outcome under fence {fence}, and {on}")

    def ends(self, call: HandlerCall) -> None:
        """A handler ended by itself."""
        call.ended = now = self.now()
        facts = self.facts[call.run]
        late = facts.cancelled_at is not None and now > facts.cancelled_at + _CANCEL_NOTICE_S
        if late and call.undisturbed:
            self._report(f"{call.run}.{call.stage} ran long after the response to its cancel")

    def failed(self, job: str, run: str, attempt: int, pause: float) -> None:
        """An attempt failed, with a delay of `pause` seconds until the next one."""
        self.due.setdefault((job, self.facts[run].redriven, attempt + 1), self.now() + pause)

    def _alone(self, call: HandlerCall) -> None:
        """Checks that no other handler holds the lock, except one that could not learn of its loss."""
        for other in self.calls:
            behind = other.lock_fence and not other.over and other.process.alive and other.undisturbed
            if behind and other.job != call.job:
                self._report(f"{call.run} and {other.run} held one lock at the same time")

    def _within_limit(self, call: HandlerCall) -> None:
        """Checks that no more handlers run than the limit has places, except those that could not learn that theirs was over."""
        at_work = [
            other.run
            for other in self.calls
            if other.stage == call.stage and not other.over and other.process.alive and other.undisturbed
        ]
        if len(set(at_work) - {call.run}) >= self.places:
            self._report(
                f"{call.run} and {', '.join(at_work)} were beyond the limit of {self.places} at the same time"
            )

    def forget(self, server: StoreServer, keys: Collection[bytes]) -> None:
        """The store has forgotten what was last written to these keys, and has what was there before."""
        self.payloads_forgotten = self.payloads_forgotten or _PAYLOADS in keys
        names = [key.decode() for key in keys]
        self.schedules_forgotten |= _SCHEDULES in names
        self.names_forgotten |= not {OPENED, OPENED_DELAYED}.isdisjoint(names)
        self.lists_forgotten.update(name for name in names if name in _TO_LISTS or _LIST.fullmatch(name))
        tagged = map(_TAG.match, names)
        runs = {found[1] for found in tagged if found and found[1] in self.facts}
        states = dict(run_states(server))
        for run in runs:
            facts, before = self.facts[run], self.states.pop(run, None)
            facts.forgotten, facts.cancelled_at = True, None
            facts.damaged = facts.damaged or facts.large
            if (state := states.get(run)) is not None:
                self.states[run] = state
            if before in ENDS and state != before:
                facts.end_forgotten = True
        for key in [key for key in self.fences if (found := _TAG.match(key)) and found[1] in runs]:
            del self.fences[key]
        self.disturb()

    def disturb(self, process: Process | None = None) -> None:
        """A worker, or all of them, cannot receive news in time."""
        for call in self.calls:
            if process in (None, call.process):
                call.undisturbed = False

    def effect(self, key: str, run: str, stage: str, fence: int) -> bool:
        """Applies an effect, as an outside system that checks fences would. Returns False if it refuses the effect."""
        if fence < self.greatest.get(key, 0):
            return False
        self.greatest[key] = fence
        self.effects[run, stage].add(key)
        if len(self.effects[run, stage]) > 1:
            self._report(f"{run}.{stage} had an effect under two keys")
        return True

    # What the broker writes

    def published(self, job: Job, body: bytes) -> None:
        """A job was published; each publication must have the same content."""
        # A run that was refused can be accepted later, at another time.
        # Another outcome of the parent follows from another fence, and names it.
        fence = 0 if job.parent_fence is UNSET else job.parent_fence
        about = (job.id, job.accepted_ms, job.generation, job.attempt, fence)
        if self.bodies.setdefault(about, body) != body:
            self._report(f"{job.run_id}.{job.stage}#{job.attempt} was published with two contents")
        if job.priority != self.facts[job.run_id].priority:
            self._report(f"{job.run_id}.{job.stage}#{job.attempt} was published with priority {job.priority}")

    # What the store writes

    def on_transitions(
        self, server: StoreServer, process: Process, happened: list[tuple[str, list[Any], list[Any]]]
    ) -> None:
        """Transitions happened in one call."""
        for call, args, reply in happened:
            if reply[0] == "error":
                self._report(f"the store failed at {call}: {reply[1]}")
            if call in ("claim", "plain_claim"):
                self._on_claim(server, process, args, reply[0], plain=call == "plain_claim")
            if call in _DECISIONS and reply[0] == "recorded":
                self._on_decision(call, args)
            if call == "redrive" and reply[0] == "redriven":
                self.facts[args[1]].redriven = int(reply[1])
        calls = {call for call, _, _ in happened}
        if not calls <= _READING:
            self._watch_runs(server, calls)
            self._watch_fences(server)

    def _on_claim(
        self, server: StoreServer, process: Process, args: list[Any], reply: str, *, plain: bool
    ) -> None:
        job, run = args[:2]
        if reply == "granted" and is_of_a_fan(server, run, job):
            self.of_fans.add(job)
        if plain and reply == "granted":
            self._claimed_plainly(server, process, job, run)
        elif reply == "granted":
            # A packed claim has no pipeline among its arguments.
            attempt = args[4] if isinstance(args[4], int) else args[3]
            self._taken(process, job, run, redelivered=args[10])
            self._granted(server, process, job, run, attempt, args[7])
            self._not_before_due(server, run, accepted_ms=args[6])
        elif reply in ("over", "locked") and self.holders.get(job) is process:
            del self.holders[job]  # a plain claim was taken back

    def _on_decision(self, call: str, args: list[Any]) -> None:
        self.holders.pop(args[0], None)
        if call == "complete":
            self._behind_its_lock(args[0], args[1], args[4])
        elif call == "done" and len(args) == _PACKED_DONE:
            self._behind_its_lock(args[0], args[1], args[3])

    def died(self, process: Process) -> None:
        """Counts a death for each job that the process held, or still ran after another process took it."""
        had = {job for job, holder in self.holders.items() if holder is process}
        at_work = {each.job for each in self.calls if each.process is process and not each.over}
        for job in had | at_work:
            self.deaths[job] += 1
        for job in had:
            del self.holders[job]

    def _granted(
        self, server: StoreServer, process: Process, job: str, run: str, attempt: int, generation: int
    ) -> None:
        self.holders[job] = process
        now_ms = server.now_ms()
        facts = self.facts[run]
        repaired = self.states.get(run) == "failed" and facts.begun < generation <= facts.redriven
        # Where a child is lost that its join needs, the others go on, so that the run can be repaired; and so does their parent.
        # One that is redriven when its join has gone on without it runs all the same, and changes nothing.
        going_on = {"failed", "completed"} if facts.redriven else {"failed"}
        in_fan = self.states.get(run) in going_on and job in self.of_fans
        if self.states.get(run) in ENDS and not repaired and not in_fan and not self._accepted_since(run):
            self._report(f"a job of {run} was granted when the run had ended: {self.states[run]}")
        facts.begun = max(facts.begun, generation)
        facts.rounds[job] = max(facts.rounds.get(job, 0), generation)
        expires_ms = run_number(server, run, "expires_ms")
        if expires_ms and now_ms >= expires_ms:
            self._report(f"a job of {run} was granted after it had expired")
        due = self.due.get((job, facts.redriven, attempt))
        if due is not None and self.now() < due - 0.002:
            self._report(f"attempt {attempt} of {run} was granted {due - self.now():.3f} s early")

    def _claimed_plainly(self, server: StoreServer, process: Process, job: str, run: str) -> None:
        """A plain claim was recorded. It holds in a live run alone: in another it is taken back, or the run is opened."""
        state = dict(run_states(server)).get(run)
        if state == "queued" or (state == "failed" and job in self.of_fans):
            self._taken(process, job, run, redelivered=False)
            self._granted(server, process, job, run, 1, 0)

    def _not_before_due(self, server: StoreServer, run: str, accepted_ms: int) -> None:
        # A run that was refused and then accepted is due later; a copy of its first submission may come when that was due.
        if run_number(server, run, "accepted_ms") != accepted_ms:
            return
        early_ms = run_number(server, run, "due_ms") - server.now_ms()
        if early_ms > 0:
            self._report(f"a job of {run} was granted {early_ms} ms before the run may begin")

    def _taken(self, process: Process, job: str, run: str, *, redelivered: bool) -> None:
        """Checks that only a redelivered job is taken from a live, connected worker."""
        of_it = [each for each in self.calls if each.job == job]
        newest = max(of_it, key=lambda each: each.fence, default=None)
        if newest is None or redelivered or newest.process is process:
            return
        if not newest.over and newest.process.alive and newest.undisturbed:
            self._report(f"a job of {run} was taken from {newest.process.name}, which held it")

    def _behind_its_lock(self, job: str, run: str, fence: int) -> None:
        """Checks that a job with a lock still holds it when its outcome is recorded."""
        for each in self.calls:
            lost = 0 < each.lock_fence < max(self.lock_fences.values(), default=0)
            if each.job == job and each.fence == fence and lost:
                self._report(f"{run} was decided after it had lost its lock")

    def _watch_runs(self, server: StoreServer, calls: set[str]) -> None:
        for run, state in run_states(server):
            before = self.states.get(run)
            by_claim = calls & {"redriven", "claim"} or self.facts[run].kind in self.graph_kinds
            repaired = before == "failed" and self.facts[run].redriven and by_claim
            again = repaired or ("open_run" in calls and before == "rejected")
            again = again or ("claim" in calls and self._accepted_since(run))
            # Its other children went on.
            stopped = (before, state) == ("failed", "cancelled") and self.facts[run].kind in self.graph_kinds
            again = again or (stopped and "cancel_run" in calls)
            if before in ENDS and state != before and not again:
                self._report(f"{run} was {before} and became {state} by {', '.join(sorted(calls))}")
            if state is not None:
                self.states[run] = state

    def _accepted_since(self, run: str) -> bool:
        """Whether a run that stands as rejected may have been accepted later, which the store has forgotten."""
        return self.states.get(run) == "rejected" and self.facts[run].forgotten

    def _watch_fences(self, server: StoreServer) -> None:
        for key, fence in fences(server):
            known = self.lock_fences if key.startswith("mousetrap:lock:") else self.fences
            if fence < known.get(key, 0):
                self._report(f"the fence of {key} fell from {known[key]} to {fence}")
            known[key] = fence

    def _report(self, what: str) -> None:
        self.wrong.append(what)

    def check(self) -> None:
        """Raises the first thing that was wrong."""
        if self.wrong:
            raise PromiseBroken(self.wrong[0])


def untimed(server: StoreServer) -> Iterable[str]:
    """The keys without a time-to-live, but for those of schedules."""
    keys = (key for key in server.names() if not key.startswith(_SCHEDULES))
    return [key for key in keys if server.ends_ms(key) is None]
