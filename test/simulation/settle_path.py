"""The rules by which a simulated world goes on and goes wrong, one sentence each, for Hypothesis to make stories of."""

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from simulation import verdict
from simulation.clock import RunsHot
from simulation.handlers import KINDS
from simulation.ledger import Wrong
from simulation.process import Lost
from simulation.world import World

WORKERS = ("ann", "bob", "cas")
#: Simulated seconds that a healed world may take to end all runs.
PATIENCE = 1800.0
#: Returns to its queue after which the broker would give a message up by itself.
_MOST_RETURNS = 40

workers = st.sampled_from(WORKERS)
who = st.sampled_from((*WORKERS, "api"))
runs = st.integers(1, 6)
to_publishes = st.sampled_from(tuple(Lost))
to_questions = st.sampled_from((Lost.QUESTION, Lost.ANSWER, Lost.OVERTAKEN))


class SettlePath(RuleBasedStateMachine):
    """Two workers and an API at first; whatever happens then, each promise is kept at each step and in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.start("ann")
        self.world.start("bob")
        self.world.run(0.02)
        self._failed = False

    # What people do

    @rule(kind=st.sampled_from(tuple(KINDS)))
    def somebody_submits_a_run(self, kind: str) -> None:
        if len(self.world.runs) < 6:
            self.world.submit(kind)
            self.goes_on()

    @precondition(lambda self: self.world.runs)
    @rule(run=runs)
    def somebody_submits_again(self, run: int) -> None:
        self.world.submit_again(self._run(run))
        self.goes_on()

    @precondition(lambda self: self.world.runs)
    @rule(run=runs)
    def somebody_cancels(self, run: int) -> None:
        self.world.cancel(self._run(run))
        self.goes_on()

    @precondition(lambda self: "failed" in self.world.ledger.states.values())
    @rule()
    def somebody_mends_and_redrives(self) -> None:
        self.world.redrive()
        self.goes_on()

    @rule(seconds=st.sampled_from((0.002, 0.06, 0.6, 4.0, 12.0, 35.0, 120.0)))
    def time_passes(self, seconds: float) -> None:
        self.goes_on(seconds)

    # What happens to processes

    @rule(name=workers)
    def a_worker_starts(self, name: str) -> None:
        if not self.world.up(name):
            self.world.start(name)
        self.goes_on()

    @rule(name=workers)
    def a_worker_is_killed(self, name: str) -> None:
        if name in self.world.workers:
            self.world.kill(name)
        self.goes_on()

    @rule(who=who, calls=st.integers(1, 12), happened=st.booleans())
    def a_process_dies_at_one_of_its_next_calls(self, who: str, calls: int, happened: bool) -> None:
        if who == "api" or who in self.world.workers:
            self.world.crash_soon(who, calls, happened)

    @rule(name=workers)
    def a_worker_is_told_to_stop(self, name: str) -> None:
        if name in self.world.workers and self.world.workers[name].process.alive:
            self.world.stop(name)
        self.goes_on()

    @rule(name=workers)
    def a_worker_stands_still(self, name: str) -> None:
        if self.world.up(name) and not self.world.workers[name].process.paused:
            self.world.pause(name)

    @rule(name=workers)
    def a_worker_that_stood_still_goes_on(self, name: str) -> None:
        if name in self.world.workers and self.world.workers[name].process.paused:
            self.world.resume(name)
        self.goes_on()

    # What happens to connections and servers

    @rule(name=workers)
    def a_worker_loses_its_connection(self, name: str) -> None:
        if name in self.world.workers:
            self.world.cut(name)
        self.goes_on()

    @rule(who=who, lost=to_publishes)
    def a_publish_goes_wrong(self, who: str, lost: Lost) -> None:
        if who == "api" or who in self.world.workers:
            self.world.trouble(who, "publish", lost)

    @rule(who=who, lost=to_questions)
    def a_question_to_the_store_goes_wrong(self, who: str, lost: Lost) -> None:
        if who == "api" or who in self.world.workers:
            self.world.trouble(who, "store", lost)

    @rule()
    def the_broker_goes_or_comes_back(self) -> None:
        if self.world.broker.away:
            self.world.broker_back()
        else:
            self.world.broker_away()
        self.goes_on()

    @rule()
    def the_store_goes_or_comes_back(self) -> None:
        if self.world.store.away:
            self.world.store_back()
        else:
            self.world.store_away()
        self.goes_on()

    # What must be true

    def teardown(self) -> None:
        """Heals the world, and looks at how it all ended."""
        try:
            if not self._failed:
                with self._telling():
                    self.world.heal()
                    self.world.until_quiet(PATIENCE)
                    verdict.check(self.world)
        finally:
            self.world.end()

    def goes_on(self, seconds: float = 0.01) -> None:
        """Lets time pass, after which every promise is still kept."""
        with self._telling():
            self.world.run(seconds)
            self.world.ledger.check()
            if self.world.broker.most_returned > _MOST_RETURNS:
                raise Wrong("a message comes round and round")

    def _run(self, number: int) -> str:
        return self.world.runs[(number - 1) % len(self.world.runs)]

    def _telling(self) -> "_Telling":
        return _Telling(self)

    def fails(self) -> None:
        """Tells the story, which is shown for the shortest failing one only."""
        self._failed = True
        note("\n".join(["What happened:", *self.world.story.lines]))


class _Telling:
    """Tells the story when its block fails."""

    def __init__(self, machine: SettlePath) -> None:
        self._machine = machine

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, Wrong | RunsHot):
            self._machine.fails()
