"""What really happened, written down by handlers and by the store's door, and what must be true of it at every moment."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from mousetrap.jobs import Job
from mousetrap.shapes import ENDS
from simulation.process import Process
from simulation.store_server import StoreServer

#: Transitions that change neither a run nor a fence.
_READING = {"ended", "renew", "unpublished", "published", "progress"}
#: Seconds after the answer to a cancel until which a worker that can hear of it must have stopped.
_TOLD_WITHIN = 2.0


@dataclass(slots=True)
class Performance:
    """One call of a handler."""

    process: Process
    run: str
    stage: str
    job: str
    attempt: int
    fence: int
    lock_fence: int
    began: float
    #: Whether the worker could hear of everything in time, from the beginning on.
    undisturbed: bool = True
    ended: float | None = None
    #: Whether the handler has left, in whichever way; one whose process died never does.
    over: bool = False


@dataclass(slots=True)
class Fate:
    """What the outside knows of a run."""

    kind: str
    #: Whether its submitter was told that it is accepted.
    accepted: bool = False
    cancel_asked: bool = False
    #: When the answer came that it is cancelled.
    cancelled_at: float | None = None
    #: The latest round that is on record, and the latest that a worker was granted: its dead letters, sent round again.
    redriven: int = 0
    begun: int = 0


class Wrong(AssertionError):
    """A promise was broken."""


@dataclass
class Ledger:
    """Keeps the facts, and raises Wrong at the first that must not be."""

    now: Callable[[], float]
    fates: dict[str, Fate] = field(default_factory=dict)
    performances: list[Performance] = field(default_factory=list)
    #: The idempotency keys under which each (run, stage) wrote to the outside, and the greatest fence it saw of each.
    effects: defaultdict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    greatest: dict[str, int] = field(default_factory=dict)
    #: Which process was granted each job last and has not decided it; how many died that way.
    holders: dict[str, Process] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    #: How many workers each run has killed by what its handler did.
    kills: Counter[str] = field(default_factory=Counter)
    #: How often a handler of each run has met an outage.
    outages: Counter[str] = field(default_factory=Counter)
    states: dict[str, str] = field(default_factory=dict)
    fences: dict[str, int] = field(default_factory=dict)
    lock_fences: dict[str, int] = field(default_factory=dict)
    due: dict[tuple[str, int, int], float] = field(default_factory=dict)
    bodies: dict[tuple[str, int, int, int], bytes] = field(default_factory=dict)
    #: The first thing that was wrong; told when the step ends, for nobody listens inside the loop.
    wrong: list[str] = field(default_factory=list)

    # What handlers write

    def begins(self, performance: Performance) -> None:
        """A handler was called."""
        if performance.lock_fence:
            self._alone(performance)
        self.performances.append(performance)
        fate, now = self.fates[performance.run], self.now()
        late = fate.cancelled_at is not None and now > fate.cancelled_at + _TOLD_WITHIN
        if late and performance.undisturbed:
            self._say(f"{performance.run}.{performance.stage} began long after the answer to its cancel")

    def ends(self, performance: Performance) -> None:
        """A handler came to its end by itself."""
        performance.ended = now = self.now()
        fate = self.fates[performance.run]
        late = fate.cancelled_at is not None and now > fate.cancelled_at + _TOLD_WITHIN
        if late and performance.undisturbed:
            self._say(f"{performance.run}.{performance.stage} went on long after the answer to its cancel")

    def failed(self, job: str, run: str, attempt: int, pause: float) -> None:
        """An attempt failed, and asked that the next one keep away for so long."""
        self.due.setdefault((job, self.fates[run].redriven, attempt + 1), self.now() + pause)

    def _alone(self, performance: Performance) -> None:
        """Nobody else is behind the lock, but for those who could not hear that they have lost it."""
        for other in self.performances:
            behind = other.lock_fence and not other.over and other.process.alive and other.undisturbed
            if behind and other.job != performance.job:
                self._say(f"{performance.run} and {other.run} were behind one lock at the same time")

    def disturb(self, process: Process | None = None) -> None:
        """Something keeps a worker, or all of them, from hearing of things in time."""
        for performance in self.performances:
            if process in (None, performance.process):
                performance.undisturbed = False

    def effect(self, key: str, run: str, stage: str, fence: int) -> bool:
        """As an outside system that honours fences: whether it took the effect."""
        if fence < self.greatest.get(key, 0):
            return False
        self.greatest[key] = fence
        self.effects[run, stage].add(key)
        if len(self.effects[run, stage]) > 1:
            self._say(f"{run}.{stage} had an effect under two keys")
        return True

    # What the broker writes

    def published(self, job: Job, body: bytes) -> None:
        """A job was published: whoever does so says the same of it."""
        # A run that was refused and then accepted is accepted anew.
        about = (job.id, job.accepted_ms, job.generation, job.attempt)
        if self.bodies.setdefault(about, body) != body:
            self._say(f"{job.run_id}.{job.stage}#{job.attempt} was published with two contents")

    # What the store's door writes

    def witness(
        self, server: StoreServer, process: Process, happened: list[tuple[str, list[Any], list[Any]]]
    ) -> None:
        """Transitions happened, all at once."""
        for call, args, reply in happened:
            if reply[0] == "error":
                self._say(f"the store failed at {call}: {reply[1]}")
            if call == "claim" and reply[0] == "granted":
                self._taken(process, args[0], args[1], redelivered=args[10])
                self._granted(server, process, args[0], args[1], args[4], args[7])
            if (
                call in ("done", "complete", "retry", "wait_out", "give_up", "release")
                and reply[0] == "recorded"
            ):
                self.holders.pop(args[0], None)
            if call == "complete" and reply[0] == "recorded":
                self._behind_its_lock(args[0], args[1], args[4])
            if call == "redrive" and reply[0] == "redriven":
                self.fates[args[1]].redriven = int(reply[1])
        calls = {call for call, _, _ in happened}
        if not calls <= _READING:
            self._watch_runs(server, calls)
            self._watch_fences(server)

    def died(self, process: Process) -> None:
        """The jobs that it had, or was at work on though another one has them by now, have cost a worker."""
        had = {job for job, holder in self.holders.items() if holder is process}
        at_work = {each.job for each in self.performances if each.process is process and not each.over}
        for job in had | at_work:
            self.deaths[job] += 1
        for job in had:
            del self.holders[job]

    def _granted(
        self, server: StoreServer, process: Process, job: str, run: str, attempt: int, generation: int
    ) -> None:
        self.holders[job] = process
        now_ms = server.now_ms()
        fate = self.fates[run]
        mended = self.states.get(run) == "failed" and fate.begun < generation <= fate.redriven
        if self.states.get(run) in ENDS and not mended:
            self._say(f"a job of {run} was granted when the run had ended: {self.states[run]}")
        fate.begun = max(fate.begun, generation)
        expires_ms = int(server.field(f"mousetrap:run:{run}", "expires_ms") or 0)
        if expires_ms and now_ms >= expires_ms:
            self._say(f"a job of {run} was granted after it had expired")
        due = self.due.get((job, fate.redriven, attempt))
        if due is not None and self.now() < due - 0.002:
            self._say(f"attempt {attempt} of {run} was granted {due - self.now():.3f} s early")

    def _taken(self, process: Process, job: str, run: str, *, redelivered: bool) -> None:
        """Only what the queue delivers again is taken from a worker that has it and can say so."""
        of_it = [each for each in self.performances if each.job == job]
        newest = max(of_it, key=lambda each: each.fence, default=None)
        if newest is None or redelivered or newest.process is process:
            return
        if not newest.over and newest.process.alive and newest.undisturbed:
            self._say(f"a job of {run} was taken from {newest.process.name}, which had it")

    def _behind_its_lock(self, job: str, run: str, fence: int) -> None:
        """Whoever decides behind a lock still has it."""
        for each in self.performances:
            lost = 0 < each.lock_fence < max(self.lock_fences.values(), default=0)
            if each.job == job and each.fence == fence and lost:
                self._say(f"{run} was decided behind a lock that it had lost")

    def _watch_runs(self, server: StoreServer, calls: set[str]) -> None:
        for key in server.names("mousetrap:run:"):
            run = key.removeprefix("mousetrap:run:")
            if ":" in run:
                continue
            state, before = server.field(key, "state"), self.states.get(run)
            mended = before == "failed" and self.fates[run].redriven and calls & {"redriven", "claim"}
            again = mended or ("open_run" in calls and before == "rejected")
            if before in ENDS and state != before and not again:
                self._say(f"{run} was {before} and became {state} by {', '.join(sorted(calls))}")
            if state is not None:
                self.states[run] = state

    def _watch_fences(self, server: StoreServer) -> None:
        for prefix, known in (("job", self.fences), ("lock", self.lock_fences)):
            for key in server.names(f"mousetrap:{prefix}:"):
                fence = int(server.field(key, "fence") or 0)
                if fence < known.get(key, 0):
                    self._say(f"the fence of {key} fell from {known[key]} to {fence}")
                known[key] = fence

    def _say(self, what: str) -> None:
        self.wrong.append(what)

    def check(self) -> None:
        """Raises the first thing that was wrong."""
        if self.wrong:
            raise Wrong(self.wrong[0])


def untimed(server: StoreServer) -> Iterable[str]:
    """The keys that would stay for ever."""
    return [key for key in server.names() if server.ends_ms(key) is None]
