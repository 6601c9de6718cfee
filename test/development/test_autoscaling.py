"""The simulated autoscaler follows its rules, and its workers those measured."""

from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from autoscaling.__main__ import (
    BURST_S,
    FIGURES,
    changes,
    gone_s,
    shipped_rules,
    simulated,
    work_of,
)
from autoscaling.loads import Load
from autoscaling.scaler import SYNC_S, Policy, Rules, Scaler, Trigger
from autoscaling.world import Job, Plant, World

SEEDS = range(3)
RULES = shipped_rules()
SLOTS = 10 * RULES.most


def rules(**more: Any) -> Rules:
    """One worker at least, two or half as many more a minute, one less a minute after five of which none asked for it."""
    given: dict[str, Any] = {
        "least": 1,
        "most": 10,
        "triggers": (Trigger("oldest_seconds", 30, False), Trigger("ready", 100, True)),
        "up": (Policy(2, False, 60), Policy(50, True, 60)),
        "down": (Policy(1, False, 60),),
        "down_window_s": 300,
        "polling_s": 30,
        "cooldown_s": 300,
    }
    return Rules(**{**given, **more})


def numbers(ready: float = 0, oldest: float = 0, running: float = 0) -> dict[str, float]:
    return {"ready": ready, "oldest_seconds": oldest, "running": running}


def test_the_shipped_rules_are_those_of_the_page() -> None:
    assert rules(triggers=(*rules().triggers, Trigger("running", 8, True))) == RULES


@pytest.mark.parametrize(
    ("asked", "replicas", "serving", "wanted"),
    [
        (numbers(oldest=60), 2, 2, 4),
        (numbers(oldest=60), 3, 2, 4),  # one of them does not serve yet
        (numbers(oldest=32.9), 2, 2, 2),  # within a tenth of the target
        (numbers(oldest=34), 2, 2, 3),
        (numbers(ready=350), 1, 1, 4),
        (numbers(ready=219), 2, 2, 2),
        (numbers(ready=221), 2, 2, 3),
        (numbers(ready=150, oldest=90), 2, 2, 6),  # the greater of the two
        (numbers(), 4, 4, 0),
    ],
)
def test_the_formula(asked: dict[str, float], replicas: int, serving: int, wanted: int) -> None:
    assert max(it.workers(asked, replicas, serving) for it in rules().triggers) == wanted


def test_workers_come_in_steps_of_a_minute() -> None:
    scaler, replicas, seen = Scaler(rules()), 1, [1]
    for step in range(17):
        replicas = scaler.decide(step * SYNC_S, numbers(ready=5_000), replicas, replicas)
        seen.append(replicas)

    assert seen == [1, *[3] * 4, *[5] * 4, *[8] * 4, *[10] * 5]


def test_workers_go_one_a_minute_once_five_minutes_asked_for_fewer() -> None:
    scaler, replicas, seen = Scaler(rules()), 4, []
    assert scaler.decide(0, numbers(ready=400), 4, 4) == 4
    for step in range(1, 37):
        replicas = scaler.decide(step * SYNC_S, numbers(), replicas, replicas)
        seen.append((step * SYNC_S, replicas))

    assert [at for (_, one), (at, other) in pairwise([(0, 4), *seen]) if one != other] == [300, 360, 420]


def test_without_numbers_the_workers_stay() -> None:
    assert Scaler(rules()).decide(0, None, 4, 4) == 4


def test_to_none_and_back() -> None:
    scaler = Scaler(rules(least=0))

    assert [scaler.poll(at, numbers(), 1) for at in (270, 300, 330)] == [1, 1, 0]
    assert scaler.poll(360, None, 0) == 0
    assert scaler.poll(390, numbers(ready=1), 0) == 1


def test_the_model_shows_what_the_api_showed() -> None:
    still = replace(RULES, most=1)
    plant = Plant(slots=FIGURES["slots"], held=2 * FIGURES["slots"])
    jobs = [Job(at_s, FIGURES["held_s"]) for at_s in FIGURES["arrived_s"]]
    waits = sorted(World(plant, Scaler(still), Random(0)).run(jobs, 60).waited_s)
    assert len(waits) == len(jobs)

    assert waits[-1] == pytest.approx(FIGURES["began_s"][-1], rel=0.02)
    for measured in FIGURES["samples"]:
        world = World(plant, Scaler(still), Random(0))
        world.run(jobs, measured["at_s"])
        shown = world.numbers()
        assert shown is not None
        assert shown["ready"] == pytest.approx(measured["ready"], abs=plant.slots)
        assert shown["oldest_seconds"] == pytest.approx(measured["oldest_seconds"], abs=1.5)


@pytest.mark.parametrize("is_exact", [True, False])
@pytest.mark.parametrize(("per_second", "burst"), [(1, 500), (1, 5_000), (15, 5_000)])
def test_a_burst_is_gone_within_the_bound_and_no_busy_worker_is_killed(
    per_second: float, burst: int, is_exact: bool
) -> None:
    load = Load(per_second=per_second, until_s=1_500, bursts=((BURST_S, burst),))
    for seed in SEEDS:
        report = simulated(RULES, load, Plant(), seed, is_exact=is_exact)
        busy, work_s = work_of(load, seed)

        # The bound of docs/kubernetes.md: three minutes, and what all ten workers need for it beside the rest.
        assert gone_s(report) <= 180 + work_s / (SLOTS - busy)
        assert report.handed_back == 0
        assert report.stopped_busy > 0 or per_second == 1


def test_a_steady_load_has_the_workers_that_it_needs_and_keeps_them() -> None:
    load = Load(per_second=15, until_s=3_600)
    two = replace(RULES, triggers=tuple(it for it in RULES.triggers if it.location != "running"))
    for seed in SEEDS[:2]:
        steady, swinging = (simulated(chosen, load, Plant(), seed) for chosen in (RULES, two))
        late = [sample for sample in steady.samples if sample.at_s > 600]

        assert max(sample.oldest_s for sample in late) < 5
        assert changes(steady) < 15 < changes(swinging)


def test_a_grace_shorter_than_a_job_hands_it_back() -> None:
    load = Load(per_second=0.75, until_s=1_500, bursts=((BURST_S, 250),), longest_s=300.0, times_as_long=20.0)
    short, long = (simulated(RULES, load, Plant(grace_s=grace_s), 4) for grace_s in (25.0, 300.0))

    assert short.handed_back > 0
    assert long.handed_back == 0
    assert len(short.waited_s) == len(long.waited_s) == len(load.jobs(4, 0.0)), "each is done all the same"


def test_while_the_api_is_away_the_workers_stay_and_then_catch_up() -> None:
    load = Load(per_second=1, until_s=1_500, bursts=((BURST_S, 2_000),))
    world = World(Plant(), Scaler(RULES), Random(0))
    world.api_away_s = (BURST_S, BURST_S + 120)
    world.run(load.jobs(0, 0.0), load.until_s)
    report = world.finish()

    there = {it.replicas for it in report.samples if BURST_S <= it.at_s <= BURST_S + 120}
    assert len(there) == 1
    assert max(it.replicas for it in report.samples) > max(there)
