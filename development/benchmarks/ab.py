"""Measures two checkouts in turns on one broker and store."""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import graph
from benchmarks.bench import Bench, open_bench
from benchmarks.chain import ONE, OTHERS, TWO, Load, runs_of, work
from benchmarks.contenders import Contender
from benchmarks.latency import LAST, idle_runs, start
from benchmarks.place import TROUBLE
from benchmarks.verdict import Verdict

HOW = """Alternating rounds of two checkouts: `python -m benchmarks ab TREE_A TREE_B --only chain,idle`. Each runs its own code,
with its own .venv where it has one. A ratio is B's value by A's of the same round. One checkout may be given twice, with a
setting that B alone has."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured of both."""

    name: str
    #: None means the milliseconds of an idle run, or a fan-out.
    load: Load | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    is_fan_out: bool = False


_VARIANTS = {"in place": "BENCH_IN_PLACE", "embedded": "BENCH_EMBEDDED"}
SUBJECTS = (
    Subject("chain", ONE),
    Subject("two", TWO),
    *(Subject(name, ONE, {setting: "yes"}) for name, setting in _VARIANTS.items()),
    Subject("classic", ONE, {"BENCH_QUEUE_TYPE": "classic"}),
    *(Subject(load.column, load) for load in OTHERS),
    Subject("idle"),
    *(Subject(f"idle {name}", None, {setting: "yes"}) for name, setting in _VARIANTS.items()),
    Subject("fan-out", is_fan_out=True),
    Subject("fan-out embedded", None, {"BENCH_EMBEDDED": "yes"}, is_fan_out=True),
)

#: What was found of one checkout in one round: jobs/s or ms, and µs of CPU for each job by process.
Found = dict[str, float]


def main(arguments: Sequence[str]) -> int:
    """Reads the arguments and measures."""
    chosen = _arguments(arguments)
    sides = (Side("A", chosen.a.resolve(), {}), Side("B", chosen.b.resolve(), dict(chosen.b_with)))
    for side in sides:
        print(f"{side.name}: {side.tree}, commit {commit_of(side.tree)}", *side.settings.items())
        _check(side)
    with open_bench((), chosen.rounds, quick=chosen.quick) as bench:
        for what, text in bench.describe().items():
            if what not in ("peers", "Mousetrap"):
                print(f"{what}: {text}")
        for subject in SUBJECTS:
            if subject.name in chosen.only:
                print("\n".join(_measure(bench, subject, sides)), flush=True)
    return 0


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks ab", description=HOW)
    names = ", ".join(subject.name for subject in SUBJECTS)
    parser.add_argument("a", type=Path, metavar="TREE_A")
    parser.add_argument("b", type=Path, metavar="TREE_B")
    parser.add_argument(
        "--only", type=subjects, default=["chain"], help=f"separated by commas: {names} (chain)"
    )
    parser.add_argument(
        "--b-with",
        type=setting,
        action="append",
        default=[],
        metavar="BENCH_NAME=VALUE",
        help="a setting of B alone",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="few runs: shows that it works")
    return parser.parse_args(arguments)


def subjects(text: str) -> list[str]:
    """The names in a list."""
    names = [name.strip() for name in text.split(",")]
    if unknown := set(names) - {subject.name for subject in SUBJECTS}:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return names


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two."""

    name: str
    tree: Path
    settings: Mapping[str, str]

    def contender(self, subject: Subject) -> Contender:
        """The checkout's own."""
        settings = {**subject.settings, **self.settings}
        return Contender(self.name, "benchmarks.ours", settings=settings, reports_left=True, tree=self.tree)


def setting(text: str) -> tuple[str, str]:
    """Its name and its value."""
    name, equals, value = text.partition("=")
    if not equals or not name.startswith("BENCH_"):
        raise argparse.ArgumentTypeError(f"{text!r} is no BENCH_NAME=VALUE")
    return name, value


def commit_of(tree: Path) -> str:
    """As git names it; with `-dirty` where something is changed."""
    command = ["git", "-C", str(tree), "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip() or "unknown"


def _check(side: Side) -> None:
    """Raises SystemExit unless the code that would run is that of the checkout."""
    one = side.contender(SUBJECTS[0])
    code = "import benchmarks.contending as ours, mousetrap.jobs as jobs; print(ours.__file__, jobs.__file__)"
    environment = {**os.environ, "PYTHONPATH": one.path}
    command = [str(one.python), "-c", code]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    files = done.stdout.split()
    if len(files) != 2 or not all(Path(file).is_relative_to(side.tree) for file in files):
        sys.exit(f"{side.tree} would not run its own code: {done.stdout or done.stderr}")


def _measure(bench: Bench, subject: Subject, sides: Sequence[Side]) -> list[str]:
    """The summary; each round is logged as it is done."""
    bench.log(f"— {subject.name} —")
    contenders = [side.contender(subject) for side in sides]
    runs = 0
    if subject.load is not None:
        bench.rates.clear()  # of the subject before, which had the same names
        runs = min(runs_of(bench, each, subject.load) for each in contenders)
    rounds: list[tuple[Found, Found]] = []
    for number in bench.numbered(bench.rounds):
        found: dict[str, Found] = {}
        for each in contenders[:: 1 if number % 2 else -1]:
            try:
                found[each.name] = _one(bench, subject, each, runs)
            except TROUBLE as error:
                bench.log(f"{each.name}, {subject.name}, round {number} does not count: {error}")
                continue
            bench.log(f"{each.name}, {subject.name}, round {number}: {_shown(found[each.name])}")
        if len(found) == len(contenders):
            rounds.append((found["A"], found["B"]))
    return summary(subject.name, rounds)


def _one(bench: Bench, subject: Subject, each: Contender, runs: int) -> Found:
    """One checkout in one round. Raises one of TROUBLE where it does not count."""
    if subject.is_fan_out:
        joined = graph.one(bench, replace(each, module=graph.OURS_MODULE))
        return {"children/s": joined.rate, **_cpu_of(joined.cpu), "MiB at most": joined.memory}
    if subject.load is None:
        with bench.place(each) as place:
            start(place)
            ends = idle_runs(bench, place)
            place.stop_workers()
            place.check_nothing_left()
        return {f"ms to the {end}": statistics.median(ends[end]) for end in (LAST, "final commit")}
    load = subject.load
    with bench.place(each, BENCH_HANDLER=load.handler, BENCH_SIZE=str(load.size)) as place:
        done = work(place, runs, load.processes, bench.servers)
    return {"jobs/s": done.rate, **_cpu_of(done.cpu), "MiB of a loaded worker": done.memory}


def _cpu_of(took: Mapping[str, float]) -> Found:
    return {f"CPU of the {process}": each for process, each in took.items()}


def _shown(found: Found) -> str:
    return ", ".join(f"{what} {value:,.2f}" for what, value in found.items())


def summary(name: str, rounds: Sequence[tuple[Found, Found]]) -> list[str]:
    """A line for each value: medians of both, and B's by A's."""
    lines = [f"{name}: {len(rounds)} rounds that count"]
    for what in rounds[0][0] if rounds else ():
        of_a, of_b = ([found[what] for found in side] for side in zip(*rounds, strict=True))
        verdict = Verdict.of(b / a for a, b in zip(of_a, of_b, strict=True) if a)
        lines.append(
            f"  {what}: A {statistics.median(of_a):,.2f}, B {statistics.median(of_b):,.2f}; B by A: {verdict}"
        )
    return lines
