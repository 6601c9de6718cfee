"""The rules by which a simulated world goes on and goes wrong, one sentence each, for Hypothesis to make stories of."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from simulation import verdict
from simulation.clock import RunsHot
from simulation.handlers import KINDS
from simulation.ledger import Wrong
from simulation.process import Lost
from simulation.world import World

WORKERS = ("ann", "bob")
#: Simulated seconds without an event after which none will come: longer than any lease, delay, outage and look.
PATIENCE = 150.0
#: Runs in one story, and returns to its queue after which the broker would give a message up by itself.
_MOST_RUNS, _MOST_RETURNS = 9, 40

#: Seconds that go by after each event: less than a call takes, less than a handler takes, than a lease, and more.
then = st.sampled_from((0.0, 0.0015, 0.004, 0.02, 0.06, 0.6, 4.0, 12.0, 35.0, 70.0))
a_while = st.sampled_from((0.003, 0.5, 5.0, 25.0, 45.0))
kinds = st.lists(st.sampled_from(tuple(KINDS)), min_size=1, max_size=3)
workers = st.sampled_from(WORKERS)
who = st.sampled_from((*WORKERS, "api"))
runs = st.integers(1, _MOST_RUNS)


class Broken(AssertionError):
    """A promise was broken in this story."""

    def __init__(self, what: str, steps: tuple["Step", ...], lines: tuple[str, ...]) -> None:
        super().__init__(what)
        self.what = what
        self.steps = steps
        self.lines = lines

    def __str__(self) -> str:
        return "\n".join([self.what, "", *map(str, self.steps), "", "What happened:", *self.lines])


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a story."""

    what: str
    how: Mapping[str, Any]

    def __str__(self) -> str:
        how = sorted(self.how.items(), key=lambda item: item[0] == "then")
        return f"story.{self.what}({', '.join(f'{name}={value!r}' for name, value in how)})"


def told(event: Callable[..., None]) -> Callable[..., None]:
    """Keeps the step, so that the story can be told again."""

    @wraps(event)
    def happens(self: "SettlePath", **how: Any) -> None:
        self.steps.append(Step(event.__name__, how))
        event(self, **how)

    return happens


class SettlePath(RuleBasedStateMachine):
    """Two workers and an API, each started again when it ends; whatever happens, each promise is kept at each moment."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        for name in WORKERS:
            self.world.start(name)
        self.steps: list[Step] = []
        self._failed = False
        self._goes_on(0.02)

    # What people do

    @initialize(kinds=kinds, then=then)
    @told
    def somebody_submits_first(self, kinds: list[str], then: float) -> None:
        self._submit(kinds, then)

    @precondition(lambda self: len(self.world.runs) < _MOST_RUNS)
    @rule(kinds=kinds, then=then)
    @told
    def somebody_submits(self, kinds: list[str], then: float) -> None:
        self._submit(kinds, then)

    @rule(run=runs, then=then)
    @told
    def somebody_submits_again(self, run: int, then: float) -> None:
        if self.world.runs:
            self.world.submit_again(self._run(run))
        self._goes_on(then)

    @rule(run=runs, then=then)
    @told
    def somebody_cancels(self, run: int, then: float) -> None:
        if self.world.runs:
            self.world.cancel(self._run(run))
        self._goes_on(then)

    @precondition(lambda self: "failed" in self.world.ledger.states.values())
    @rule(then=then, patient=st.booleans())
    @told
    def somebody_mends_and_redrives(self, then: float, patient: bool = True) -> None:
        self.world.redrive(patient)
        self._goes_on(then)

    @rule(seconds=then)
    @told
    def time_passes(self, seconds: float) -> None:
        self._goes_on(seconds)

    # What happens to processes

    @rule(name=workers, back_after=a_while, then=then)
    @told
    def a_worker_is_killed(self, name: str, back_after: float, then: float) -> None:
        self.world.kill(name, back_after)
        self._goes_on(then)

    @rule(who=who, calls=st.integers(1, 15), happened=st.booleans(), then=then)
    @told
    def a_process_dies_at_one_of_its_next_calls(
        self, who: str, calls: int, happened: bool, then: float
    ) -> None:
        self.world.crash_soon(who, calls, happened)
        self._goes_on(then)

    @rule(name=workers, hurry=st.booleans(), then=then)
    @told
    def a_worker_is_told_to_stop(self, name: str, hurry: bool, then: float) -> None:
        self.world.stop(name)
        if hurry:
            self.world.stop(name)
        self._goes_on(then)

    @rule(name=workers, seconds=a_while, then=then)
    @told
    def a_worker_stands_still(self, name: str, seconds: float, then: float) -> None:
        self.world.pause(name, seconds)
        self._goes_on(then)

    # What happens to connections and servers

    @rule(name=workers, then=then)
    @told
    def a_worker_loses_its_connection(self, name: str, then: float) -> None:
        self.world.cut(name)
        self._goes_on(then)

    @rule(who=who, lost=st.sampled_from(tuple(Lost)), then=then)
    @told
    def a_publish_goes_wrong(self, who: str, lost: Lost, then: float) -> None:
        self.world.trouble(who, "publish", lost)
        self._goes_on(then)

    @rule(who=who, lost=st.sampled_from((Lost.QUESTION, Lost.ANSWER, Lost.OVERTAKEN)), then=then)
    @told
    def a_question_to_the_store_goes_wrong(self, who: str, lost: Lost, then: float) -> None:
        self.world.trouble(who, "store", lost)
        self._goes_on(then)

    @rule(seconds=a_while, then=then)
    @told
    def the_broker_is_away(self, seconds: float, then: float) -> None:
        self.world.broker_away(seconds)
        self._goes_on(then)

    @rule(seconds=a_while, then=then)
    @told
    def the_store_is_away(self, seconds: float, then: float) -> None:
        self.world.store_away(seconds)
        self._goes_on(then)

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

    def _submit(self, kinds: list[str], then: float) -> None:
        for kind in kinds:
            self.world.submit(kind)
        self._goes_on(then)

    def _goes_on(self, seconds: float) -> None:
        """Lets time pass, after which every promise is still kept."""
        with self._telling():
            self.world.run(seconds)
            self.world.ledger.check()
            if self.world.broker.most_returned > _MOST_RETURNS:
                raise Wrong("a message comes round and round")

    def _run(self, number: int) -> str:
        return self.world.runs[(number - 1) % len(self.world.runs)]

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (Wrong, RunsHot) as error:
            self._failed = True
            raise Broken(str(error), tuple(self.steps), tuple(self.world.story.lines)) from error
