"""Measures what is asked for, contender beside contender, and writes what came of it."""

import argparse
import json
import signal
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from types import FrameType

from benchmarks.bench import Bench, open_bench
from benchmarks.contenders import CONTENDERS, HERE
from benchmarks.figures import Figure
from benchmarks.measures import MEASURES, Measure
from benchmarks.peer_environments import install
from benchmarks.report import tables
from benchmarks.write_page import write_page

RESULTS = HERE / "results"


def main() -> int:
    """Reads the arguments and measures."""
    chosen = _arguments()
    measures = [measure for measure in MEASURES if not chosen.only or measure.name in chosen.only]
    contenders = [each for each in CONTENDERS if not chosen.contenders or each.name in chosen.contenders]
    signal.signal(signal.SIGTERM, _end)
    found: dict[str, list[Figure]] = {}
    wanted = contenders if any(measure.compares for measure in measures) else []
    ready = [contender for contender in wanted if install(contender)]
    try:
        with open_bench(ready, chosen.rounds, chosen.quick) as bench:
            for measure in measures:
                _collect(bench, measure, found.setdefault(measure.name, []))
    except KeyboardInterrupt:
        print("stopped; what was measured until now follows", file=sys.stderr)
    _keep(found)
    for measure in measures:
        print(f"\n## {measure.title}\n\n{tables(found.get(measure.name, []))}")
    if chosen.write:
        write_page([(measure, found.get(measure.name, [])) for measure in measures], ready, chosen.rounds)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ", ".join(measure.name for measure in MEASURES)
    who = ", ".join(contender.name for contender in CONTENDERS)
    parser.add_argument("--only", type=_words, help=f"measures, separated by commas: {names}")
    parser.add_argument("--contenders", type=_words, help=f"separated by commas: {who}")
    parser.add_argument("--rounds", type=int, default=5, help="of the measures whose ratios count (5)")
    parser.add_argument(
        "--quick", action="store_true", help="few runs: shows that all works, no figures to keep"
    )
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and its picture")
    return parser.parse_args()


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _collect(bench: Bench, measure: Measure, figures: list[Figure]) -> None:
    bench.say(f"— {measure.title} —")
    try:
        figures.extend(measure.run(bench))  # what was measured until an exception is kept
    except Exception as error:  # noqa: BLE001  the other measures go on
        bench.say(f"{measure.name} ended early: {error!r}")
        figures.append(Figure(measure.title, "all", "", None, "", 0, f"ended early: {error!r}"))


def _keep(found: dict[str, list[Figure]]) -> None:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    path.write_text(
        json.dumps({name: [asdict(f) for f in figures] for name, figures in found.items()}, indent=1)
    )
    print(f"raw figures: {path}")


def _end(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
