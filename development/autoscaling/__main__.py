"""Simulates the shipped autoscaling under loads, and prints a table.

    PYTHONPATH=development .venv/bin/python -m autoscaling [--seeds 20]

Rules are read from deploy/kubernetes/keda/fetch_worker.yaml, a worker's figures from figures.json. Half a minute of CPU for 20 seeds.
"""

import argparse
import json
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from random import Random

import yaml

from autoscaling.loads import Load
from autoscaling.scaler import Rules, Scaler, read_rules
from autoscaling.world import Plant, Report, World

ROOT = Path(__file__).parents[2]
FIGURES = json.loads((Path(__file__).parent / "figures.json").read_text())
#: Seconds that a job holds its slot beyond its handler.
OVERHEAD_S = FIGURES["held_s"] - FIGURES["job_s"]
BURST_S = 900.0


@dataclass(frozen=True, slots=True)
class Case:
    """A load, and what a worker is like."""

    name: str
    load: Load
    plant: Plant


CASES = (
    *(
        Case(f"{rate:g} jobs/s, an hour", Load(per_second=rate, until_s=3_600), Plant())
        for rate in (1, 15, 25)
    ),
    *(
        Case(
            f"{rate:g} jobs/s, a burst of {count:,}",
            Load(per_second=rate, until_s=1_500, bursts=((BURST_S, count),)),
            Plant(),
        )
        for rate, count in ((1, 500), (1, 5_000), (15, 5_000), (1, 20_000))
    ),
    *(
        Case(
            f"0.75 jobs/s of 40 s, a burst of 250, {grace_s:g} s of grace",
            Load(
                per_second=0.75, until_s=1_500, bursts=((BURST_S, 250),), longest_s=300.0, times_as_long=20.0
            ),
            Plant(grace_s=grace_s),
        )
        for grace_s in (25.0, 300.0)
    ),
)


def shipped_rules() -> Rules:
    """Those of the example's fetch worker, for its first queue."""
    manifest = yaml.safe_load((ROOT / "deploy/kubernetes/keda/fetch_worker.yaml").read_text())
    return read_rules(manifest, "start_fetch")


def simulated(rules: Rules, load: Load, plant: Plant, seed: int, *, is_exact: bool = True) -> Report:
    """What happens under this load."""
    world = World(plant, Scaler(rules), Random(seed), is_exact=is_exact)
    world.run(load.jobs(seed, OVERHEAD_S), load.until_s)
    return world.finish()


def work_of(load: Load, seed: int) -> tuple[float, float]:
    """The slots that its jobs need in the mean, without bursts, and the seconds that a slot needs for one burst."""
    jobs = load.jobs(seed, OVERHEAD_S)
    mean_s = sum(job.takes_s for job in jobs) / len(jobs)
    return load.per_second * mean_s, sum(count for _, count in load.bursts) * mean_s


def gone_s(report: Report) -> float:
    """Seconds from the burst until nothing waited."""
    return next(at_s for at_s in report.empty_s if at_s > BURST_S + 5) - BURST_S


def changes(report: Report) -> int:
    """How often the number of workers changed from one decision to the next."""
    numbers = [sample.replicas for sample in report.samples]
    return sum(one != other for one, other in pairwise(numbers))


def _row(case: Case, rules: Rules, seeds: int) -> str:
    reports = [simulated(rules, case.load, case.plant, seed) for seed in range(seeds)]
    waited = sorted(waited_s for report in reports for waited_s in report.waited_s)
    numbers = [sample.replicas for report in reports for sample in report.samples]
    gone = f"{max(map(gone_s, reports)):.0f} s" if case.load.bursts else ""
    return (
        f"| {case.name} | {sum(numbers) / len(numbers):.1f} | {max(map(changes, reports))} | {waited[len(waited) * 95 // 100]:.1f} s "
        f"| {waited[-1]:.0f} s | {gone} | {max(report.stopped_busy for report in reports)} | {max(report.handed_back for report in reports)} |"
    )


def main() -> None:
    """Prints the table of the page on Kubernetes, with and without the number of busy slots."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    seeds = parser.parse_args().seeds
    rules = shipped_rules()
    two = tuple(it for it in rules.triggers if it.location != "running")
    for name, chosen in (("as shipped", rules), ("without `running`", replace(rules, triggers=two))):
        print(f"\n{name}, {seeds} seeds:\n")
        print(
            "| load | workers, mean | changes, most | wait, 95th of 100 | longest wait | burst gone, latest | busy when asked to stop | handed back |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for case in CASES:
            print(_row(case, chosen, seeds), flush=True)


if __name__ == "__main__":
    main()
