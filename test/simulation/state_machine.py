"""Hypothesis state machine: work and faults of a simulated cluster."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mousetrap.jobs import DEFAULT_PRIORITY, HIGHEST_PRIORITY, LOWEST_PRIORITY
from mousetrap.testing.simulation.clock import Livelock
from mousetrap.testing.simulation.process import Fault
from simulation import final_checks
from simulation.cluster import Cluster
from simulation.graphs import GRAPH_KINDS, Drawn, Parts, graphs
from simulation.handlers import KINDS
from simulation.ledger import PromiseBroken
from simulation.store_cluster import PAIRS
from simulation.timetable import POLICIES

WORKERS = ("ann", "bob")
#: Without an event for this long, none will come: longer than any lease, delay, outage and poll.
QUIET_S = 150.0
#: Runs in one simulation; returns to its queue after which a real broker would give a message up.
_MAX_RUNS, _MAX_GRAPH_RUNS, _MAX_RETURNS = 9, 4, 40
_MAX_SCHEDULES = 2

#: Steps after which nothing comes twice, as the message of a run does that is submitted again.
_NO_FAULTS = {"submit_first", "submit", "cancel", "repair_and_redrive", "wait", "pause_queue", "schedule"}

#: Seconds after each step: shorter than a call, than a handler, than a lease, and longer.
then = st.sampled_from((0.0, 0.0015, 0.004, 0.02, 0.06, 0.6, 4.0, 12.0, 35.0, 70.0))
priorities = st.sampled_from((DEFAULT_PRIORITY, LOWEST_PRIORITY, HIGHEST_PRIORITY))
a_while = st.sampled_from((0.003, 0.5, 5.0, 25.0, 45.0))
kinds = st.lists(st.sampled_from(tuple(KINDS)), min_size=1, max_size=3)
graph_kinds = st.lists(st.sampled_from(GRAPH_KINDS), min_size=1, max_size=2)
workers = st.sampled_from(WORKERS)
who = st.sampled_from((*WORKERS, "api"))
runs = st.integers(1, _MAX_RUNS)
pairs = st.integers(0, PAIRS - 1)


class FailingRun(AssertionError):
    """A promise was broken, with the steps and the log of the simulation."""

    def __init__(self, what: str, steps: tuple["Step", ...], lines: tuple[str, ...]) -> None:
        super().__init__(what)
        self.what = what
        self.steps = steps
        self.lines = lines

    def __str__(self) -> str:
        return "\n".join([self.what, "", *map(str, self.steps), "", "What happened:", *self.lines])


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a simulation."""

    what: str
    how: Mapping[str, Any]

    def __str__(self) -> str:
        how = sorted(self.how.items(), key=lambda item: item[0] == "then")
        return f"machine.{self.what}({', '.join(f'{name}={value!r}' for name, value in how)})"


def recorded(event: Callable[..., None]) -> Callable[..., None]:
    """Records the step, so that the simulation can be replayed."""

    @wraps(event)
    def happens(self: "PromiseMachine", **how: Any) -> None:
        self.steps.append(Step(event.__name__, how))
        event(self, **how)

    return happens


class PromiseMachine(RuleBasedStateMachine):
    """Two workers and an API, each restarted when it ends. Every promise holds after every step."""

    #: Bytes of an outcome that the store keeps once it was handed on: no outcome is so small.
    KEEP = 64
    #: Whether runs are of wire format 5.
    PACKED = False
    #: Whether the store is a cluster of three.
    SPLIT = False
    #: How long a run may wait in silence for what ends it.
    LONGEST_SILENCE_S = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self._failed = False
        self._open(None)

    def _open(self, drawn: Drawn | None) -> None:
        """Starts the cluster and its workers."""
        self.cluster = Cluster(self.KEEP, packed=self.PACKED, split=self.SPLIT, drawn=drawn)
        for name in WORKERS:
            self.cluster.start(name)
        self._pass_time(0.02)

    # Users

    @initialize(kinds=kinds, then=then, priority=priorities)
    @recorded
    def submit_first(self, kinds: list[str], then: float, priority: int = DEFAULT_PRIORITY) -> None:
        self._submit(kinds, then, priority)

    @precondition(lambda self: len(self.cluster.runs) < _MAX_RUNS)
    @rule(kinds=kinds, then=then, priority=priorities)
    @recorded
    def submit(self, kinds: list[str], then: float, priority: int = DEFAULT_PRIORITY) -> None:
        self._submit(kinds, then, priority)

    @rule(run=runs, then=then)
    @recorded
    def submit_again(self, run: int, then: float) -> None:
        if self.cluster.runs:
            self.cluster.submit_again(self._run(run))
        self._pass_time(then)

    @rule(run=runs, then=then)
    @recorded
    def cancel(self, run: int, then: float) -> None:
        if self.cluster.runs:
            self.cluster.cancel(self._run(run))
        self._pass_time(then)

    @precondition(lambda self: "failed" in self.cluster.ledger.states.values())
    @rule(then=then, repeat=st.booleans())
    @recorded
    def repair_and_redrive(self, then: float, repeat: bool = True) -> None:
        self.cluster.redrive(repeat)
        self._pass_time(then)

    @rule(seconds=then)
    @recorded
    def wait(self, seconds: float) -> None:
        self._pass_time(seconds)

    @rule(number=st.integers(0, 20), seconds=a_while, then=then)
    @recorded
    def pause_queue(self, number: int, seconds: float, then: float) -> None:
        self.cluster.pause_queue(self.cluster.queues[number % len(self.cluster.queues)], seconds)
        self._pass_time(then)

    @precondition(lambda self: len(self.cluster.timetable.asked) < _MAX_SCHEDULES)
    @rule(every_s=st.sampled_from((15, 45)), policy=st.sampled_from(tuple(POLICIES)), then=then)
    @recorded
    def schedule(self, every_s: int, policy: str, then: float) -> None:
        self.cluster.schedule(every_s, policy)
        self._pass_time(then)

    # Faults of processes

    @rule(name=workers, back_after=a_while, then=then)
    @recorded
    def kill_worker(self, name: str, back_after: float, then: float) -> None:
        self.cluster.kill(name, back_after)
        self._pass_time(then)

    @rule(who=who, calls=st.integers(1, 15), happened=st.booleans(), then=then)
    @recorded
    def crash_at_a_next_call(self, who: str, calls: int, happened: bool, then: float) -> None:
        self.cluster.crash_soon(who, calls, happened)
        self._pass_time(then)

    @rule(name=workers, hurry=st.booleans(), then=then)
    @recorded
    def stop_worker(self, name: str, hurry: bool, then: float) -> None:
        self.cluster.stop(name)
        if hurry:
            self.cluster.stop(name)
        self._pass_time(then)

    @rule(name=workers, seconds=a_while, then=then)
    @recorded
    def pause_worker(self, name: str, seconds: float, then: float) -> None:
        self.cluster.pause_worker(name, seconds)
        self._pass_time(then)

    # Faults of connections and servers

    @rule(name=workers, then=then)
    @recorded
    def disconnect_worker(self, name: str, then: float) -> None:
        self.cluster.disconnect(name)
        self._pass_time(then)

    @rule(who=who, fault=st.sampled_from(tuple(Fault)), then=then)
    @recorded
    def fail_a_publish(self, who: str, fault: Fault, then: float) -> None:
        self.cluster.fault(who, "publish", fault)
        self._pass_time(then)

    @rule(who=who, fault=st.sampled_from((Fault.REQUEST_LOST, Fault.REPLY_LOST, Fault.LATE)), then=then)
    @recorded
    def fail_a_store_call(self, who: str, fault: Fault, then: float) -> None:
        self.cluster.fault(who, "store", fault)
        self._pass_time(then)

    @rule(seconds=a_while, then=then)
    @recorded
    def stop_broker(self, seconds: float, then: float) -> None:
        self.cluster.broker_away(seconds)
        self._pass_time(then)

    @rule(seconds=a_while, then=then)
    @recorded
    def stop_store(self, seconds: float, then: float) -> None:
        self.cluster.store_away(seconds)
        self._pass_time(then)

    @precondition(lambda self: any(facts.large for facts in self.cluster.ledger.facts.values()))
    @rule(run=runs, altered=st.booleans(), then=then)
    @recorded
    def damage_payloads(self, run: int, altered: bool, then: float) -> None:
        if self.cluster.runs:
            self.cluster.damage_payloads(self._run(run), altered)
        self._pass_time(then)

    # Checks

    def teardown(self) -> None:
        """Ends all faults, waits until the cluster is quiet, and checks the promises."""
        try:
            if not self._failed:
                with self._reporting():
                    self.cluster.heal()
                    self.cluster.until_quiet(QUIET_S, self.LONGEST_SILENCE_S)
                    undisturbed = all(step.what in _NO_FAULTS for step in self.steps)
                    final_checks.check(self.cluster, undisturbed=undisturbed)
        finally:
            self.cluster.end()

    def _submit(self, kinds: list[str], then: float, priority: int = DEFAULT_PRIORITY) -> None:
        for kind in kinds:
            # Runs before wire format 5 have no limits, and a cluster keeps none.
            limited = kind.startswith("limited") and (not self.PACKED or self.SPLIT)
            # The versions that began runs of earlier formats knew no priority.
            level = priority if self.PACKED else DEFAULT_PRIORITY
            self.cluster.submit("slow" if limited else kind, level)
        self._pass_time(then)

    def _pass_time(self, seconds: float) -> None:
        """Lets time pass, and checks every promise."""
        with self._reporting():
            self.cluster.run(seconds)
            self.cluster.ledger.check()
            self.cluster.check_pauses()
            if self.cluster.broker.max_returned > _MAX_RETURNS:
                raise PromiseBroken("a message is returned again and again")

    def _run(self, number: int) -> str:
        return self.cluster.runs[(number - 1) % len(self.cluster.runs)]

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except (PromiseBroken, Livelock) as error:
            self._failed = True
            raise FailingRun(str(error), tuple(self.steps), tuple(self.cluster.event_log.lines)) from error


class KeepingMachine(PromiseMachine):
    """The same where the store keeps every outcome, so that chains may go on in place."""

    KEEP = 65_536


class PackedMachine(PromiseMachine):
    """Runs of wire format 5. No outcome is kept once it was handed on, so each is recorded before what follows is published."""

    PACKED = True


class BesideMachine(KeepingMachine):
    """The same where every outcome is kept: what follows is published while it is being recorded."""

    PACKED = True


class GraphRuns(PromiseMachine):
    """All runs are of one pipeline with fan-outs and forks, which is drawn first."""

    def _open(self, drawn: Drawn | None) -> None:
        if drawn is not None:
            super()._open(drawn)

    @initialize(graph=graphs, kinds=graph_kinds, then=then, in_place=st.booleans(), priority=priorities)
    @recorded
    def submit_first(
        self,
        graph: Parts,
        kinds: list[str],
        then: float,
        in_place: bool = False,
        priority: int = DEFAULT_PRIORITY,
    ) -> None:
        self._open(Drawn(graph, in_place=in_place, locks=not self.SPLIT))  # a cluster keeps no locks
        self._submit(kinds, then, priority)

    @precondition(lambda self: len(self.cluster.runs) < _MAX_GRAPH_RUNS)
    @rule(kinds=graph_kinds, then=then, priority=priorities)
    @recorded
    def submit(self, kinds: list[str], then: float, priority: int = DEFAULT_PRIORITY) -> None:
        self._submit(kinds, then, priority)

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            super().teardown()


class ClusterMachine(BesideMachine):
    """The same where the store is a cluster of three: each part of a call can fail by itself, and replicas take over."""

    SPLIT = True

    @rule(pair=pairs, seconds=a_while, then=then)
    @recorded
    def stop_store_server(self, pair: int, seconds: float, then: float) -> None:
        self.cluster.store_server_away(pair, seconds)
        self._pass_time(then)

    @rule(pair=pairs, seconds=a_while, then=then)
    @recorded
    def replace_store_server(self, pair: int, seconds: float, then: float) -> None:
        self.cluster.replace_store_server(pair, seconds)
        self._pass_time(then)

    def _submit(self, kinds: list[str], then: float, priority: int = DEFAULT_PRIORITY) -> None:
        """A cluster keeps no locks."""
        super()._submit([kind.replace("locked", "slow") for kind in kinds], then, priority)


class SplitMachine(ClusterMachine):
    """The same where slots change their server, key by key."""

    @rule(run=runs, pair=pairs, seconds=a_while, then=then)
    @recorded
    def move_slot(self, run: int, pair: int, seconds: float, then: float) -> None:
        if self.cluster.runs:
            self.cluster.move_slot(self._run(run), pair, seconds)
        self._pass_time(then)


class ForgetfulMachine(ClusterMachine):
    """The same where a replica that takes over may lack what was written last. Nothing stands still but what had ended by then."""

    @rule(pair=pairs, lag=a_while, seconds=a_while, then=then)
    @recorded
    def forget(self, pair: int, lag: float, seconds: float, then: float) -> None:
        self.cluster.forget(pair, lag, seconds)
        self._pass_time(then)

    @rule(run=runs, lag=a_while, seconds=a_while, then=then)
    @recorded
    def forget_run(self, run: int, lag: float, seconds: float, then: float) -> None:
        if self.cluster.runs:
            self.cluster.forget(self.cluster.pair_of(self._run(run)), lag, seconds)
        self._pass_time(then)


class GraphMachine(GraphRuns, BesideMachine):
    """Runs of graphs, where every outcome is kept."""


class PackedGraphMachine(GraphRuns, PackedMachine):
    """The same where none is kept once it was handed on."""


class SplitGraphMachine(GraphRuns, SplitMachine):
    """The same on a store that is a cluster, whose slots change their server."""


class ForgetfulGraphMachine(GraphRuns, ForgetfulMachine):
    """The same where a replica that takes over may lack what was written last.

    A child's decision that is forgotten with its message leaves its run waiting for seven days: then it has failed, and can be repaired.
    """

    LONGEST_SILENCE_S = 8 * 86_400.0
