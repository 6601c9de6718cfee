"""Health answers for each state of a worker."""

import pytest

from mousetrap.handlers import Hung
from mousetrap.serve_worker.vitals import Vitals
from mousetrap.worker import WorkerStats


class Clock:
    """A clock that moves only when it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watched(WorkerStats):
    """A worker that serves, with the handlers that hang given."""

    def __init__(self, *asked_at: float) -> None:
        super().__init__()
        self.state = "serving"
        self._asked_at = asked_at

    def hung(self) -> list[Hung]:
        return [Hung(run_id="r", stage="s", attempt=1, asked_at=at, thread=1) for at in self._asked_at]


def vitals(*asked_at: float, auto_kill_s: float = 60.0) -> Vitals:
    """Of a worker whose loop has just turned, and which has just found broker and store."""
    made = Vitals(stats=Watched(*asked_at), auto_kill_s=auto_kill_s, clock=Clock())
    made.turn()
    made.look(broker=True, store=True)
    return made


def later(made: Vitals, seconds: float) -> Vitals:
    assert isinstance(made.clock, Clock)
    made.clock.now += seconds
    return made


def test_a_worker_that_serves_with_all_it_needs_is_live_and_ready() -> None:
    assert vitals().why_not_live() is None
    assert vitals().why_not_ready() is None


def test_a_broker_that_is_blocked_is_away_until_it_answers() -> None:
    worker = vitals()
    worker.look(broker=False, store=True, blocked=True)
    assert (worker.blocked, worker.away) == (True, ("broker",))

    worker.look(broker=True, store=True)
    assert (worker.blocked, worker.away) == (False, ())


@pytest.mark.parametrize(
    ("auto_kill_s", "blocked", "live"),
    [(60, 10.0, True), (60, 10.1, False), (4, 2.0, True), (4, 2.1, False)],
)
def test_a_loop_that_is_blocked_for_long_is_neither_live_nor_ready(
    auto_kill_s: float, blocked: float, live: bool
) -> None:
    worker = later(vitals(auto_kill_s=auto_kill_s), blocked)

    expected = None if live else f"the event loop is blocked for {blocked:.0f} s"
    assert (worker.why_not_live(), worker.why_not_ready()) == (expected, expected)


@pytest.mark.parametrize(
    ("broker", "store", "reason"),
    [
        (False, True, "waiting for: broker"),
        (True, False, "waiting for: store"),
        (False, False, "waiting for: broker, store"),
    ],
)
def test_without_broker_or_store_it_lives_but_is_not_ready(broker: bool, store: bool, reason: str) -> None:
    worker = vitals()
    worker.look(broker=broker, store=store)

    assert (worker.why_not_live(), worker.why_not_ready()) == (None, reason)


def test_an_outage_counts_once_however_long_it_lasts_and_the_wait_for_a_first_answer_does_not() -> None:
    worker = Vitals(stats=WorkerStats(), auto_kill_s=60.0)
    looks = [(False, False), (False, True), (True, True), (False, True), (False, True), (True, False)]
    for broker, store in looks:
        worker.look(broker=broker, store=store)

    assert worker.outages == {"broker": 1, "store": 1}


def test_a_look_of_long_ago_shows_nothing_of_now() -> None:
    worker = later(vitals(), 15.0)
    worker.turn()

    assert worker.why_not_ready() == "waiting for: broker, store"


@pytest.mark.parametrize("state", ["starting", "draining"])
def test_a_worker_that_takes_no_jobs_is_not_ready(state: str) -> None:
    worker = vitals()
    worker.stats.state = state  # type: ignore[assignment]

    assert (worker.why_not_live(), worker.why_not_ready()) == (None, state)


@pytest.mark.parametrize(
    ("asked_at", "broker", "state"),
    [((), True, "serving"), ((), False, "waiting"), ((995.0,), True, "serving"), ((989.0,), True, "stuck")],
)
def test_a_beat_reports_what_the_worker_does(asked_at: tuple[float, ...], broker: bool, state: str) -> None:
    worker = vitals(*asked_at)
    worker.look(broker=broker, store=True)

    assert worker.state == state


def test_a_worker_with_a_handler_that_does_not_stop_is_not_ready() -> None:
    assert vitals(989.0).why_not_ready() == "a handler does not stop"


def test_a_worker_with_too_few_runners_is_not_ready() -> None:
    worker = vitals()
    worker.stats.missing = lambda: 3

    assert worker.why_not_ready() == "3 of its runners have ended"
