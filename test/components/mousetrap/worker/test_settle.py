"""Every ending of a delivery: published first, acknowledged then."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import pytest

from mousetrap.jobs import (
    Delivery,
    Done,
    Failure,
    GiveUp,
    Job,
    Message,
    Outcome,
    Queue,
    QueueUnreachable,
    RetryLater,
    decode,
    first_job,
)
from mousetrap.pipeline import Stage
from mousetrap.run_store import Busy, Decision, Fired, Locked
from mousetrap.signing import Keyring
from mousetrap.telemetry import Observer
from mousetrap.worker import WorkerOptions
from mousetrap.worker.endings import (
    Bury,
    Drop,
    Ending,
    HandBack,
    Join,
    Park,
    Publish,
    Refuse,
    Several,
    anchored,
    ending_of,
    forks_of,
    unrecorded,
    waiting,
    with_join,
)
from mousetrap.worker.joins import Joins
from mousetrap.worker.outages import Outages
from mousetrap.worker.settle import Outgoing, Settler, outgoing

JOB = first_job(run_id="r", pipeline="p", stage="add", payload=b"1", accepted_ms=5)
NEXT = Stage(name="double", queue="doubles", input=int, output=int)
WHY = Failure(kind="ValueError", text="no", traceback="Traceback\nValueError: no")
OPTIONS = WorkerOptions(name="w", keyring=Keyring.parse("k:a-secret-for-the-tests"))
LEASE = 30.0


@dataclass
class AddDelivery:
    """A delivery of the queue `adds` that notes its end."""

    ends: list[str] = field(default_factory=list)
    queue: str = "adds"
    message: Message = field(default_factory=lambda: Message("id", b"delivered", {"x": "y"}))
    redelivered: bool = False
    since_ms: int = 0

    def acknowledge(self) -> bool:
        self.ends.append("acknowledged")
        return True

    def hand_back(self) -> bool:
        self.ends.append("handed back")
        return True


@pytest.mark.parametrize(
    ("outcome", "next_stage", "ending"),
    [
        (Done(msgspec.Raw(b"2")), NEXT, Publish(JOB.following("double", b"2", fence=3), "doubles")),
        (Done(msgspec.Raw(b"2")), None, Drop()),
        (RetryLater(3.0, WHY), NEXT, Publish(JOB.again(), "adds", 3.0)),
        (RetryLater(3.0, WHY), None, Publish(JOB.again(), "adds", 3.0)),
        (RetryLater(3.0, WHY, counted=False), NEXT, Park(JOB, 3.0)),
        (GiveUp("contract", WHY), NEXT, Bury(JOB, "contract", WHY)),
    ],
)
def test_each_recorded_outcome_has_one_ending(
    outcome: Outcome, next_stage: Stage | None, ending: Ending
) -> None:
    assert ending_of(outcome, JOB, "adds", next_stage, 3) == ending


SPLIT = (NEXT, Stage(name="halve", queue="halves", input=int, output=int))


def fork(index: int) -> Publish:
    stage = SPLIT[index]
    return Publish(JOB.child(stage.name, b"2", index=index, fence=3), stage.queue)


def test_a_fork_is_a_job_for_each_stage_and_the_message_comes_again_until_they_are_joined() -> None:
    outcome = Done(msgspec.Raw(b"2"), forks=("double", "halve"))

    assert forks_of(outcome, JOB, SPLIT, 3, 0.0) == Several((fork(0), fork(1), Park(JOB, 10.0, anchor=3)))


def test_a_fork_to_a_stage_that_is_gone_is_a_dead_letter() -> None:
    ending = forks_of(Done(msgspec.Raw(b"2"), forks=("double", "third")), JOB, SPLIT, 3, 0.0)

    assert isinstance(ending, Bury)
    assert (ending.reason, "'third'" in ending.failure.text) == ("unknown-stage", True)


@pytest.mark.parametrize(("waits_s", "seconds"), [(0.0, 10.0), (39.0, 10.0), (400.0, 100.0), (1e6, 600.0)])
def test_who_opened_a_fan_looks_ever_less_often_whether_it_has_fired(waits_s: float, seconds: float) -> None:
    assert anchored(JOB, 7, waits_s) == Park(JOB, seconds, anchor=7)


FIRED = Fired("fan", 3, total=2, done=1, lost=1, join="")


@pytest.mark.parametrize(
    ("own", "ending"),
    [
        (Drop(), Join(JOB, FIRED)),
        (Park(JOB, 10.0), Join(JOB, FIRED)),
        (Bury(JOB, "contract", WHY), Several((Bury(JOB, "contract", WHY), Join(JOB, FIRED)))),
    ],
)
def test_a_join_follows_beside_what_else_does(own: Ending, ending: Ending) -> None:
    assert with_join(own, JOB, FIRED) == ending


@pytest.mark.parametrize(
    ("decision", "ending"),
    [("stale", Park(JOB, LEASE)), ("unlocked", Park(JOB, 0.2)), ("over", Drop())],
)
def test_an_outcome_that_is_not_recorded_leads_to_nothing_new(decision: Decision, ending: Ending) -> None:
    assert unrecorded(decision, JOB, LEASE) == ending


@pytest.mark.parametrize(
    ("claim", "seconds"),
    [
        (Busy(12.0), 12.0),
        (Locked("r2", 0.0), 0.2),
        (Locked("r2", 8.0), 2.0),
        (Locked("r2", 400.0), 10.0),
    ],
)
def test_a_job_that_another_one_holds_is_parked(claim: Busy | Locked, seconds: float) -> None:
    assert waiting(claim, JOB) == Park(JOB, seconds)


@pytest.mark.parametrize(
    ("ending", "queue", "job", "seconds"),
    [
        (Publish(JOB.again(), "adds", 3.0), "adds", JOB.again(), 3.0),
        (
            Publish(JOB.following("double", b"2", fence=3), "doubles"),
            "doubles",
            JOB.following("double", b"2", fence=3),
            0.0,
        ),
        (Park(JOB, 7.0), "adds", JOB, 7.0),
        (Bury(JOB, "contract", WHY), "adds.dead", JOB, 0.0),
    ],
)
def test_a_job_that_is_published_is_signed_by_us(
    ending: Ending, queue: str, job: Job, seconds: float
) -> None:
    published = outgoing(ending, AddDelivery(), OPTIONS, 9)

    assert published is not None
    assert (published.queue, published.after) == (queue, seconds)
    OPTIONS.keyring.verify(published.message.body, published.message.headers)
    assert decode(published.message.body) == job


@pytest.mark.parametrize("ending", [Drop(), HandBack()])
def test_nothing_is_published_where_nothing_follows(ending: Ending) -> None:
    assert outgoing(ending, AddDelivery(), OPTIONS, 9) is None


@pytest.mark.parametrize(
    ("job", "about"),
    [
        (JOB, {"mousetrap-attempts": "1", "mousetrap-run": "r", "mousetrap-stage": "add"}),
        (None, {"mousetrap-attempts": "0"}),
    ],
)
def test_a_refused_message_is_buried_as_it_was_delivered(job: Job | None, about: dict[str, str]) -> None:
    published = outgoing(Refuse(job, "stale", WHY), AddDelivery(), OPTIONS, 9)

    assert published == Outgoing(
        "adds.dead",
        Message(
            "id",
            b"delivered",
            {
                "x": "y",
                "mousetrap-reason": "stale",
                "mousetrap-error-type": "ValueError",
                "mousetrap-error": "no",
                "mousetrap-traceback": "Traceback\nValueError: no",
                "mousetrap-queue": "adds",
                "mousetrap-worker": "w",
                "mousetrap-at": "9",
                **about,
            },
        ),
    )


class Broker:
    """Takes the messages that are published, once its outage is over; they are acknowledged only then."""

    def __init__(self, ends: list[str], refusals: int = 0) -> None:
        self._ends = ends
        self._refusals = refusals

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        """Refuses so many times."""
        assert "acknowledged" not in self._ends
        if self._refusals:
            self._refusals -= 1
            raise QueueUnreachable("away")
        self._ends.append(f"published to {queue}")


class KnownJoin:
    """Knows the join of any fan; as Joins."""

    async def published_by(self, job: Job, fired: Fired) -> Publish:
        return Publish(job, "joins")


class Events(Observer):
    """Notes the events of a settlement."""

    def __init__(self, ends: list[str]) -> None:
        self._note: Callable[[str], None] = ends.append

    def published(self, job: Job, queue: str) -> None:
        self._note("event: published")

    def parked(self, job: Job, queue: str, seconds: float) -> None:
        self._note("event: parked")

    def buried(self, job: Job | None, queue: str, reason: str) -> None:
        self._note("event: buried")

    def refused(self, queue: str, failure: Failure) -> None:
        self._note("event: refused")


@pytest.mark.parametrize(
    ("ending", "ends"),
    [
        (Publish(JOB, "doubles"), ["published to doubles", "event: published", "acknowledged"]),
        (Park(JOB, 1.0), ["published to adds", "event: parked", "acknowledged"]),
        (Bury(JOB, "contract", WHY), ["published to adds.dead", "event: buried", "acknowledged"]),
        (
            Refuse(None, "signature", WHY),
            ["event: refused", "published to adds.dead", "event: buried", "acknowledged"],
        ),
        (Drop(), ["acknowledged"]),
        (HandBack(), ["handed back"]),
        (Join(JOB, FIRED), ["published to joins", "event: published", "acknowledged"]),
        (
            Several((fork(0), fork(1), Park(JOB, 10.0, anchor=3))),
            [
                "published to doubles",
                "event: published",
                "published to halves",
                "event: published",
                "published to adds",
                "event: parked",
                "acknowledged",
            ],
        ),
        (
            Several((Bury(JOB, "contract", WHY), Join(JOB, FIRED))),
            [
                "published to adds.dead",
                "event: buried",
                "published to joins",
                "event: published",
                "acknowledged",
            ],
        ),
    ],
)
async def test_a_delivery_is_acknowledged_after_what_follows_is_published(
    ending: Ending, ends: list[str]
) -> None:
    assert await settled(ending) == ends


async def test_an_outage_of_the_broker_delays_the_acknowledgement() -> None:
    expected = ["published to doubles", "event: published", "acknowledged"]
    assert await settled(Publish(JOB, "doubles"), refusals=2) == expected


async def settled(ending: Ending, **broker: Any) -> list[str]:
    """What happened, in order."""
    delivery = AddDelivery()
    queue = cast(Queue, Broker(delivery.ends, **broker))
    settler = Settler(queue, OPTIONS, Outages(), Events(delivery.ends), cast(Joins, KnownJoin()))
    deliveries: list[Delivery] = [delivery]
    await settler.settle(deliveries, ending)
    return delivery.ends
