"""Tests what an error of a submission means for its row."""

import pytest

from mousetrap.jobs import (
    PayloadMissing,
    PublishUnconfirmed,
    QueueFull,
    QueueUnreachable,
    RecordDamaged,
    StoreFull,
    StoreUnreachable,
    Unroutable,
)
from mousetrap.outbox import PipelineUnknown, RowUnreadable, Taken
from mousetrap.outbox.batch import Batches, by_key
from mousetrap.outbox.rows import in_order
from mousetrap.outbox.verdicts import Away, Held, Holds, Refused, judge
from mousetrap.pipeline import ContractBroken
from mousetrap.run_store import RunConflict
from mousetrap.submit_run import DeadLettersFull, OptionInvalid


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (QueueUnreachable("x"), Away),
        (PublishUnconfirmed("x"), Away),
        (StoreUnreachable("x"), Away),
        (StoreFull("x"), Away),
        (QueueFull("x"), Held),
        (DeadLettersFull("x"), Held),
        (Unroutable("x"), Held),
        (PipelineUnknown("x"), Held),
        (RunConflict("x"), Refused),
        (PayloadMissing("x"), Refused),
        (RecordDamaged("x"), Refused),
        (RowUnreadable("x"), Refused),
        (ContractBroken("x"), Refused),
        (OptionInvalid("tags", "x"), Refused),
        (KeyError("x"), Refused),
    ],
)
def test_each_error_is_of_its_row_its_pipeline_or_all(error: Exception, kind: type) -> None:
    verdict = judge(error)

    assert type(verdict) is kind
    assert "x" in verdict.why
    assert getattr(verdict, "unknown", False) is isinstance(error, PipelineUnknown)


def test_a_defect_is_named_by_its_kind() -> None:
    assert judge(KeyError("x")) == Refused("KeyError: 'x'")


def test_a_hold_grows_with_each_failure_and_ends_with_a_success() -> None:
    holds = Holds()
    assert holds.hold("p", 100.0, 0.0) == 0
    assert holds.held(100.9) == {"p"}
    assert holds.held(101.0) == frozenset()
    assert holds.hold("p", 101.0, 0.0) == 1
    assert holds.hold("p", 101.5, 0.0) == 1.5  # of the same batch: one pause for all of them
    assert holds.held(102.9) == {"p"}
    assert holds.held(103.0) == frozenset()

    assert holds.free("p")
    assert not holds.free("p")
    assert holds.hold("p", 200.0, 0.0) == 0
    assert holds.held(201.0) == frozenset()


def test_the_time_unknown_is_counted_from_its_first_verdict_and_not_from_another_hold() -> None:
    holds = Holds()
    holds.hold("p", 0.0, 0.0)  # its queue is full
    holds.hold("p", 100.0, 0.0, unknown=True)
    assert holds.unknown_s("p", 100.0) == 0
    holds.hold("p", 159.0, 0.0, unknown=True)
    assert holds.unknown_s("p", 159.0) == 59

    holds.hold("p", 160.0, 0.0)  # known, and full again
    assert holds.unknown_s("p", 160.0) == 0
    holds.hold("p", 170.0, 0.0, unknown=True)
    assert holds.unknown_s("p", 171.0) == 1

    assert holds.unknown_s("q", 171.0) == 0


WHOLE_ROW: dict[str, object] = {
    "id": 1,
    "key": "",
    "run_id": "r1",
    "pipeline": "p",
    "input": "1",
    "due_ms": None,
    "expires_ms": None,
    "tags": "[]",
    "created_ms": 0,
}


@pytest.mark.parametrize("named", [("p",), ()])
def test_a_refusal_of_its_row_or_an_absent_store_restarts_the_time_unknown(named: tuple[str, ...]) -> None:
    holds = Holds()
    holds.hold("p", 0.0, 0.0, unknown=True)
    holds.hold("q", 0.0, 0.0, unknown=True)

    holds.restart_unknown(*named)

    holds.hold("p", 70.0, 0.0, unknown=True)
    assert holds.unknown_s("p", 70.0) == 0
    assert holds.unknown_s("q", 70.0) == (70 if named else 0)


async def test_a_row_is_not_set_aside_when_its_pipeline_is_first_unknown_after_a_full_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 1_000.0
    errors = [
        QueueFull("full"),
        PipelineUnknown("p"),
        StoreUnreachable("away"),
        PipelineUnknown("p"),
        PipelineUnknown("p"),
    ]
    monkeypatch.setattr("mousetrap.outbox.batch.time.monotonic", lambda: now_s)

    async def submit(_: object) -> None:
        raise errors.pop(0)

    batches, refused = Batches(submit), list[int]()
    while errors:
        now_s += 61
        batch = batches.begin()
        await batches.submit(Taken([WHOLE_ROW]), batch)
        refused.append(len(batch.refused))

    assert refused == [0, 0, 0, 0, 1]


def row(number: int, key: str) -> dict[str, object]:
    return {"id": number, "key": key}


def test_a_key_is_taken_up_to_its_first_gap() -> None:
    found = [row(2, "a"), row(3, "b"), row(4, ""), row(6, "a"), row(7, "b"), row(9, "a")]
    every = [("a", 2), ("a", 6), ("a", 8), ("a", 9), ("b", 1), ("b", 3), ("b", 7)]

    taken = in_order(found, every)

    assert [each["id"] for each in taken.rows] == [2, 4, 6]
    assert taken.late_keys == {"a", "b"}


def test_the_rows_of_a_key_go_one_after_another_and_the_others_at_once() -> None:
    rows = [row(1, "a"), row(2, ""), row(3, "a"), row(4, ""), row(5, "b")]

    assert [[each["id"] for each in group] for group in by_key(rows)] == [[1, 3], [2], [4], [5]]
