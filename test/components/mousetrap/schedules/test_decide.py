"""Decides what becomes of ticks: on time, missed, overlapping, paused."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.schedules import (
    MOST_OWED,
    Change,
    Past,
    Record,
    Schedule,
    TooManyOwed,
    backfilled,
    created,
    decide,
    declared,
    edited,
    looks_at,
    needs_to_know,
    orphaned,
    paused,
    resumed,
    run_id_of_tick,
    run_now,
    settled,
)

MINUTE = 60_000
HOUR = 60 * MINUTE
START = 1_700_000_000_000 // HOUR * HOUR


def change(now_ms: int = START) -> Change:
    return Change("ops", now_ms, "ticket 81")


def hourly(**more: Any) -> Record:
    return created(Schedule("hourly", pipeline="papers", every=timedelta(hours=1), **more), "api", change())


def owed(record: Record) -> list[int]:
    """The ticks that are owed, in hours since the start."""
    return [(each.tick_ms - START) // HOUR for each in record.owed]


def became(record: Record) -> list[tuple[str, int, int]]:
    return [(each.became, (each.tick_ms - START) // HOUR, each.count) for each in record.past]


def fired(record: Record, now_ms: int) -> Record:
    """The record once all that it owes is submitted."""
    return settled(
        record,
        [
            Past(tick_ms=it.tick_ms, became="fired", at_ms=now_ms, cause=it.cause, run_id=it.run_id)
            for it in record.owed
        ],
    )


def test_nothing_fires_for_the_past_of_a_new_schedule() -> None:
    record = hourly()
    assert decide(record, START + HOUR - 1, busy=False) is record
    assert looks_at(record, START) == START + HOUR


def test_a_schedule_is_looked_at_once_a_day_for_the_rules_of_its_zone_may_change() -> None:
    yearly = created(
        Schedule("yearly", pipeline="papers", cron="0 0 1 1 *", tz="Europe/Berlin"), "api", change()
    )
    assert looks_at(yearly, START) == START + 24 * HOUR
    assert decide(yearly, START + 24 * HOUR, busy=False) is yearly


def test_a_tick_fires_once() -> None:
    record = decide(hourly(), START + HOUR + 5, busy=False)
    assert owed(record) == [1] and looks_at(record, START + HOUR + 5) == START + HOUR + 5
    assert decide(record, START + HOUR + 10, busy=False) is record
    record = fired(record, START + HOUR + 20)
    assert owed(record) == [] and became(record) == [("fired", 1, 1)]
    assert record.last_run == run_id_of_tick(record.schedule, START, START + HOUR)
    assert decide(record, START + HOUR + 30, busy=False) is record
    assert looks_at(record, START + HOUR + 30) == START + 2 * HOUR


@pytest.mark.parametrize(
    ("policy", "late_ms", "fires", "missed"),
    [
        ({"missed": "skip"}, 30_000, [5], 4),
        ({"missed": "skip"}, 2 * MINUTE, [], 5),
        ({"missed": "once"}, 2 * MINUTE, [5], 4),
        ({"missed": "once", "catch_up": timedelta(minutes=1)}, 2 * MINUTE, [], 5),
        ({"missed": "once", "catch_up": timedelta(0)}, 30_000, [5], 4),
        ({"missed": "all"}, 2 * MINUTE, [1, 2, 3, 4, 5], 0),
        ({"missed": "all", "most": 2}, 2 * MINUTE, [4, 5], 3),
        ({"missed": "all", "most": 1}, 2 * MINUTE, [5], 4),
        ({"missed": "all", "catch_up": timedelta(hours=2, minutes=30)}, 2 * MINUTE, [3, 4, 5], 2),
    ],
)
def test_after_an_outage(policy: dict[str, Any], late_ms: int, fires: list[int], missed: int) -> None:
    record = decide(hourly(**policy), START + 5 * HOUR + late_ms, busy=False)
    assert owed(record) == fires
    assert sum(each.count for each in record.past if each.became == "missed") == missed
    assert decide(record, START + 5 * HOUR + late_ms + 1, busy=False) is record


def test_more_missed_ticks_than_are_made_up_for_are_counted() -> None:
    record = decide(
        hourly(missed="all", most=1000, catch_up=timedelta(days=90)), START + 1050 * HOUR, busy=False
    )
    assert owed(record) == [*range(51, 1051)] and became(record) == [("missed", 50, 50)]


def test_while_a_run_is_owed_ticks_wait_and_are_late_then() -> None:
    record = decide(hourly(), START + HOUR, busy=False)
    assert decide(record, START + 3 * HOUR + 5, busy=False) is record
    record = decide(fired(record, START + 3 * HOUR + 5), START + 3 * HOUR + 6, busy=False)
    assert owed(record) == [3] and became(record)[0] == ("missed", 2, 1)


def ran_once(**more: Any) -> Record:
    return fired(decide(hourly(**more), START + HOUR, busy=False), START + HOUR)


def test_overlap_skip_leaves_the_tick_out() -> None:
    record = ran_once(overlap="skip")
    assert needs_to_know(record) == record.last_run != ""
    skipped = decide(record, START + 2 * HOUR, busy=True)
    assert owed(skipped) == [] and became(skipped)[0] == ("skipped", 2, 1)
    assert owed(decide(skipped, START + 3 * HOUR, busy=False)) == [3]
    assert needs_to_know(ran_once()) == ""


def test_overlap_queue_one_keeps_the_newest_tick_until_the_run_has_ended() -> None:
    record = decide(ran_once(overlap="queue_one"), START + 2 * HOUR, busy=True)
    assert owed(record) == [] and looks_at(record, START + 2 * HOUR) == START + 2 * HOUR + 1_000
    record = decide(record, START + 3 * HOUR, busy=True)
    assert became(record)[0] == ("skipped", 2, 1)
    assert decide(record, START + 3 * HOUR + 1_000, busy=True) is record
    record = decide(record, START + 3 * HOUR + 2_000, busy=False)
    assert owed(record) == [3] and record.waiting_ms is None


def test_a_tick_that_waited_longer_than_the_catch_up_is_missed() -> None:
    policy = {"overlap": "queue_one", "catch_up": timedelta(minutes=10)}
    record = decide(ran_once(**policy), START + 2 * HOUR, busy=True)
    assert decide(record, START + 2 * HOUR + 10 * MINUTE, busy=True) is record
    record = decide(record, START + 2 * HOUR + 11 * MINUTE, busy=True)
    assert became(record)[0] == ("missed", 2, 1) and record.waiting_ms is None


def test_overlap_cancel_running_cancels_the_last_run_first() -> None:
    record = ran_once(overlap="cancel_running")
    busy = decide(record, START + 2 * HOUR, busy=True)
    assert owed(busy) == [2] and busy.owed[0].cancels == record.last_run
    assert decide(record, START + 2 * HOUR, busy=False).owed[0].cancels == ""


def test_a_pause_keeps_what_is_owed_and_a_resume_leaves_out_what_was_missed() -> None:
    record = paused(decide(hourly(), START + HOUR, busy=False), change())
    assert record.pause and record.pause.why == "ticket 81"
    assert paused(record, Change("else", START)) is record
    assert looks_at(record, START + HOUR) == START + HOUR
    record = fired(record, START + HOUR)
    assert looks_at(record, START + HOUR) is None
    assert decide(record, START + 9 * HOUR, busy=False) is record
    now = START + 9 * HOUR + 5
    assert decide(resumed(record, change(now)), now, busy=False).owed == ()
    made_up = decide(resumed(record, change(now), makes_up=True), now, busy=False)
    assert owed(made_up) == [9]


def test_an_edit_of_the_times_counts_from_now_and_another_edit_keeps_what_is_due() -> None:
    record = hourly()
    tagged = Schedule("hourly", pipeline="papers", every=timedelta(hours=1), tags=("a",))
    assert edited(record, record.schedule, change()) is record
    assert edited(record, tagged, change(START + 2 * HOUR)).decided_ms == START
    faster = Schedule("hourly", pipeline="papers", every=timedelta(minutes=1))
    assert edited(record, faster, change(START + 2 * HOUR)).decided_ms == START + 2 * HOUR


def test_an_orphaned_schedule_is_paused_until_it_is_declared_again() -> None:
    record = orphaned(hourly(), change())
    assert record.pause and record.pause.orphaned
    assert declared(record, record.schedule, change()).pause is None
    by_hand = orphaned(paused(hourly(), change()), change())
    assert by_hand.pause and not by_hand.pause.orphaned
    assert declared(by_hand, by_hand.schedule, change()).pause == by_hand.pause


@pytest.mark.parametrize(("missed", "made_up"), [("skip", []), ("once", [3]), ("all", [1, 2, 3])])
def test_what_an_orphaned_schedule_missed_is_made_up_for_by_its_policy(
    missed: str, made_up: list[int]
) -> None:
    record, now = orphaned(hourly(missed=missed), change()), START + 3 * HOUR + 2 * MINUTE
    back = declared(record, record.schedule, change(now))
    assert looks_at(back, now) == START + HOUR
    assert owed(decide(back, now, busy=False)) == made_up


def test_run_now_and_backfill_owe_runs_beside_the_ticks() -> None:
    record = backfilled(run_now(hourly(), "by-hand", START + 5), START - 3 * HOUR, START)
    assert [(each.cause, each.tick_ms) for each in record.owed] == [
        ("now", START + 5),
        *(("backfill", START - hours * HOUR) for hours in (3, 2, 1)),
    ]
    assert backfilled(record, START - 3 * HOUR, START) == record
    record = decide(record, START + HOUR, busy=False)
    assert owed(record)[-1] == 1
    record = fired(record, START + HOUR)
    assert record.owed == () and record.last_run == run_id_of_tick(record.schedule, START, START + HOUR)
    with pytest.raises(TooManyOwed, match="shorter span"):
        backfilled(record, START - (MOST_OWED + 1) * HOUR, START)


def moments() -> st.SearchStrategy[list[tuple[int, bool, bool]]]:
    """Looks at a schedule: minutes since the one before, whether its last run goes on, whether what it owes is submitted.

    The clock may have been set back between two.
    """
    return st.lists(st.tuples(st.integers(-90, 400), st.booleans(), st.booleans()), max_size=40)


def walked(record: Record, looks: list[tuple[int, bool, bool]]) -> Iterator[Record]:
    now_ms = START
    for minutes, busy, submits in looks:
        now_ms += minutes * MINUTE
        record = decide(record, now_ms, busy=busy)
        yield record
        if submits:
            record = fired(record, now_ms)
            yield record


policies = st.fixed_dictionaries(
    {
        "missed": st.sampled_from(["skip", "once"]),
        "overlap": st.sampled_from(["allow", "skip", "queue_one", "cancel_running"]),
    }
) | st.just({"missed": "all", "overlap": "allow"})


@given(policies, moments())
def test_each_tick_is_decided_once_and_in_order(
    policy: dict[str, Any], looks: list[tuple[int, bool, bool]]
) -> None:
    record = hourly(**policy, catch_up=timedelta(days=30))
    ids: list[str] = []
    for before, after in pairwise([record, *walked(record, looks)]):
        assert after.decided_ms >= before.decided_ms
        ids += [it.run_id for it in after.owed if it not in before.owed]
        record = after
    assert len(ids) == len(set(ids))
    due = (record.decided_ms - START) // HOUR
    counted = sum(it.count for it in record.past) + len(record.owed) + (record.waiting_ms is not None)
    assert counted == due or len(record.past) == 50
