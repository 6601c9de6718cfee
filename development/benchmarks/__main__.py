"""Measures the chosen contenders and writes the results."""

import argparse
import json
import signal
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from benchmarks import ab
from benchmarks.bench import MILLION, Bench, open_bench
from benchmarks.conditions import figures_of
from benchmarks.contenders import CONTENDERS, HERE
from benchmarks.figures import Figure
from benchmarks.measures import MEASURES, Measure
from benchmarks.page import Found, page, tables_of
from benchmarks.peer_environments import install
from benchmarks.picture import picture

RESULTS = HERE / "results"
DOCS = HERE.parents[1] / "docs"


def main() -> int:
    """Reads the arguments and measures."""
    # Both: who starts us in the background may have had SIGINT ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    if sys.argv[1:2] == ["ab"]:
        try:
            return ab.main(sys.argv[2:])
        except KeyboardInterrupt:
            return 130
    chosen = _arguments()
    if chosen.page:
        _write(Found.of_json([path.read_text() for path in chosen.page]))
        return 0
    measures = [measure for measure in MEASURES if not chosen.only or measure.name in chosen.only]
    contenders = [each for each in CONTENDERS if not chosen.contenders or each.name in chosen.contenders]
    if not any(measure.compares for measure in measures):
        contenders = []
    figures: dict[str, list[Figure]] = {measure.name: [] for measure in measures}
    ready = [contender for contender in contenders if install(contender)]
    raw = not chosen.contenders or "C" in chosen.contenders
    host: dict[str, str] = {}
    try:
        with open_bench(ready, chosen.rounds, quick=chosen.quick, raw=raw, size=chosen.size) as bench:
            host = bench.describe()
            for measure in measures:
                _collect(bench, measure, figures[measure.name])
    except KeyboardInterrupt:
        print("stopped; what was measured until now follows", file=sys.stderr)
    found = Found(host, figures)
    _keep(found)
    print(tables_of(found))
    if not (chosen.only or chosen.contenders or chosen.quick):
        _write(found)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"{__doc__} A whole run writes docs/benchmarks.md; --only, --contenders and --quick do not. "
        "`ab TREE_A TREE_B` measures two checkouts: `ab --help`.",
    )
    names = ", ".join(measure.name for measure in MEASURES)
    who = ", ".join(contender.name for contender in CONTENDERS)
    parser.add_argument("--only", type=_words, help=f"measures, separated by commas: {names}")
    parser.add_argument("--contenders", type=_words, help=f"separated by commas: {who}, C")
    parser.add_argument("--rounds", type=int, default=5, help="of the measures whose ratios count (5)")
    parser.add_argument(
        "--size", type=int, default=MILLION, help="runs that wait or are kept in `growth` (1000000)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="few runs: shows that all works, no figures to keep"
    )
    page_help = "measure nothing; write the page of these raw figures, of each measure the last"
    parser.add_argument("--page", type=Path, nargs="+", metavar="JSON", help=page_help)
    return parser.parse_args()


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _collect(bench: Bench, measure: Measure, figures: list[Figure]) -> None:
    bench.log(f"— {measure.title} —")
    bench.conditions.clear()
    try:
        figures.extend(measure.run(bench))  # what was measured until an exception is kept
    except Exception as error:  # noqa: BLE001  the other measures go on
        bench.log(f"{measure.name} ended early: {error!r}")
        figures.append(Figure(measure.title, "all", "", None, "", 0, f"ended early: {error!r}"))
    figures.extend(figures_of(bench.conditions))


def _keep(found: Found) -> None:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(asdict(found), indent=1))
    print(f"raw figures: {path.relative_to(HERE.parents[1])}")


def _write(found: Found) -> None:
    (DOCS / "benchmarks.svg").write_text(picture(found))
    (DOCS / "benchmarks.md").write_text(page(found))
    print("written: docs/benchmarks.md, docs/benchmarks.svg")


def _end(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
