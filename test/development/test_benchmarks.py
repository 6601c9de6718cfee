"""Tests the benchmarks' own arithmetic, tables and other load."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import ab, chain, graph, growth, latency
from benchmarks.busy import busy
from benchmarks.conditions import Condition, Ticks, figures_of
from benchmarks.contenders import CONTENDERS, EMBEDDED, IN_PLACE, OURS, PEERS, QUORUM_PEERS, Contender
from benchmarks.contending import FIRST, LAST, Counter, Counts, Tally
from benchmarks.figures import Figure, Shown, ratio
from benchmarks.footprint import cpu, memory, most
from benchmarks.measures import MEASURES
from benchmarks.page import Found, page
from benchmarks.picture import picture
from benchmarks.place import DoesNotCount, Place
from benchmarks.verdict import Verdict
from support.processes import Process, clean_environment


def rates(row: str, column: str, *values: float | None) -> list[Figure]:
    """Jobs a second of each round, in the table of the first measure."""
    return [Figure(chain.JOBS, row, column, value, "jobs/s", at) for at, value in enumerate(values, 1)]


def waits(row: str, column: str, *values: float | None) -> list[Figure]:
    """Milliseconds of each round, in the table of idle runs."""
    return [Figure(latency.LATENCY, row, column, value, "ms", at) for at, value in enumerate(values, 1)]


def found_of(shown: list[Shown], what: str) -> float | None:
    """The median of the one ratio of that name."""
    (one,) = [each for each in shown if each.what == what]
    return one.found.median if one.found else None


def test_a_ratio_is_of_one_round_and_the_best_of_it() -> None:
    of = rates("mousetrap", "one process", 10, 40, None)
    to = rates("celery", "one process", 2, 4, 5) + rates("dramatiq", "one process", 1, 8, 5)

    found = ratio(of, to)

    assert found is not None
    assert (found.lowest, found.highest, found.rounds) == (5, 5, 2)


def test_a_round_too_short_to_be_counted_is_not_divided_by() -> None:
    of = rates("mousetrap", "one process", 10, 30)

    found = ratio(of, rates("celery", "one process", 0, 10))

    assert found is not None
    assert (found.median, found.rounds) == (3, 1)
    assert ratio(of, rates("celery", "one process", 0, None)) is None


def test_a_chain_in_place_is_in_no_comparison_of_rates() -> None:
    figures = rates(OURS.name, chain.ONE.column, 50) + rates(IN_PLACE.name, chain.ONE.column, 900)
    figures += rates("dramatiq", chain.ONE.column, 10)

    shown = chain.shown(figures)

    assert IN_PLACE.name not in PEERS
    assert found_of(shown, "jobs/s by the fastest peer's, one process") == 5
    assert found_of(shown, "jobs/s of a chain in place by our own of a usual one") == 18


def test_loads_are_compared_one_by_one() -> None:
    figures = rates(OURS.name, "64 KiB", 12) + rates("faststream", "64 KiB", 10)
    figures += rates(OURS.name, "1 MiB", 1) + rates("taskiq", "1 MiB", 4)

    shown = chain.shown_of_loads(figures)

    assert found_of(shown, "jobs/s by the fastest peer's, 64 KiB") == 1.2
    assert found_of(shown, "jobs/s by the fastest peer's, 1 MiB") == 0.25
    assert found_of(shown, "jobs/s by the fastest peer's, threads") is None


def test_idle_runs_are_compared_with_quorum_queues_and_with_all() -> None:
    last, placed = (latency.row_of(each.name, latency.LAST) for each in (OURS, IN_PLACE))
    quorum = QUORUM_PEERS[0]
    figures = waits(last, latency.P50, 3.0) + waits(placed, latency.P50, 1.5)
    figures += waits(quorum, latency.P50, 4.0) + waits("dramatiq", latency.P50, 2.0)

    shown = latency.shown(figures)

    what = "p50 of an idle run to the last handler"
    assert found_of(shown, f"{what} by the quickest peer's on quorum queues") == 0.75
    assert found_of(shown, f"{what} by the quickest peer's of all") == 1.5
    assert found_of(shown, f"{what}, chain in place, by the quickest peer's of all") == 0.75


def test_the_quickest_peer_of_each_round_is_the_one_whose_slowing_counts() -> None:
    figures = waits("celery", latency.P50, 1, 9) + waits("dramatiq", latency.P50, 2, 2)
    figures += waits("celery", latency.BUSY_P50, 3, 9) + waits("dramatiq", latency.BUSY_P50, 2, 4)

    found = latency.slowed(figures, ["celery", "dramatiq"])

    assert found is not None
    assert (found.lowest, found.highest) == (2, 3)


def test_a_peer_without_a_figure_slows_nothing() -> None:
    figures = waits("celery", latency.P50, None, 2) + waits("celery", latency.BUSY_P50, 5, None)

    assert latency.slowed(figures, ["celery"]) is None


def test_growth_is_compared_within_a_round() -> None:
    row = "1,000 queued"
    figures = [
        Figure(growth.JOBS, row, column, value, "jobs/s", at)
        for column, values in ((growth.LITTLE, (10, 100)), (growth.GROWN, (9, 95)))
        for at, value in enumerate(values, 1)
    ]

    (found,) = [each.found for each in growth.shown(figures) if each.what.startswith(f"jobs/s, {row}")]

    assert found is not None
    assert (found.lowest, found.highest) == (0.9, 0.95)


def test_a_child_is_compared_with_the_plain_jobs_of_its_round() -> None:
    def together(row: str, *values: float) -> list[Figure]:
        return [Figure(graph.CPU, row, graph.TOGETHER, value, "µs", at) for at, value in enumerate(values, 1)]

    figures = together(OURS.name, 300, 100) + together(graph.plain_row(OURS.name), 200, 100)
    figures += together("celery", 9, 9) + together(EMBEDDED.name, 100)
    figures += together(graph.plain_row(OURS.name, 10), 300, 80)

    shown = graph.shown(figures)

    assert found_of(shown, "CPU of a child by a plain job's") == 1.25
    assert found_of(shown, "CPU of a child by that of a job of ten stages") == 1.125
    assert found_of(shown, "the same on the embedded queue") is None


def test_a_fan_out_is_compared_with_peers_and_its_memory_with_a_smaller_one() -> None:
    def figures_of_size(table: str, row: str, column: str, value: float) -> Figure:
        return Figure(table, row, column, value, "", 1)

    figures = [
        figures_of_size(graph.RATE, OURS.name, "10,000", 1_000),
        figures_of_size(graph.RATE, EMBEDDED.name, "10,000", 2_000),
        figures_of_size(graph.RATE, "streaq", "10,000", 500),
        figures_of_size(graph.RATE, "dramatiq", "1,000", 800),
        figures_of_size(graph.MEMORY, OURS.name, "10,000", 50),
        figures_of_size(graph.MEMORY, OURS.name, "100,000", 55),
    ]

    shown = graph.shown(figures)

    assert found_of(shown, "children/s by the fastest peer's, 10,000") == 2
    assert found_of(shown, "memory of the worker at 100,000 children by 10,000") == 1.1


class Finished(Place):
    """A place whose worker, which is this process, has done its work."""

    def run(self, *command: str) -> str:
        return ""

    def start_worker(self) -> Process:
        counter = Counter(self.folder)
        counter.tick(FIRST, 0)
        counter.tick(FIRST, int(self.settings["first"]))
        counter.tick(LAST, int(self.settings["last"]))
        worker = Process([sys.executable, "-c", "import signal; signal.pause()"], clean_environment())
        self.workers.append(worker)
        return worker

    def waiting(self, names: Sequence[str] | None = None) -> dict[str, int]:
        return {}


@pytest.mark.parametrize(("first", "last"), [(10, 20), (11, 10)])
def test_a_fan_out_whose_jobs_were_done_twice_does_not_count(tmp_path: Path, first: int, last: int) -> None:
    settings = {"first": str(first), "last": str(last)}

    with (
        Finished(Contender("one", "none"), "", settings, tmp_path) as place,
        pytest.raises(DoesNotCount, match=f"{first} children were done, and {last} outputs were joined"),
    ):
        graph.join(place, 10, {})


def test_a_fan_out_counts_from_its_beginning_to_its_join(tmp_path: Path) -> None:
    with Finished(Contender("one", "none"), "", {"first": "10", "last": "10"}, tmp_path) as place:
        joined = graph.join(place, 10, {})
        (began,), newest = place.counts.read().began, place.counts.read().newest

    assert joined.rate == 10 / (newest - began) * 1e9
    assert joined.cpu["worker"] >= 0
    assert joined.memory > 0


def test_the_most_that_a_process_held_stays_known_once_it_is_given_back() -> None:
    code = "import signal\nblock = bytearray(64 << 20)\ndel block\nprint('given back', flush=True)\nsignal.pause()"

    with Process([sys.executable, "-c", code], clean_environment()) as process:
        process.wait_for_line("given back")

        assert most(process.pid) > memory(process.pid) + 60


def test_what_a_child_has_computed_stays_counted_once_it_has_ended() -> None:
    child = "import time\nwhile time.process_time() < 0.3: pass"
    code = f"import signal, subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\nprint('over', flush=True)\nsignal.pause()"

    with Process([sys.executable, "-c", code], clean_environment()) as process:
        process.wait_for_line("over")

        assert cpu(process.pid) >= 0.28  # in hundredths, rounded down


def test_stolen_and_idle_time_are_shares_of_what_has_passed() -> None:
    before = Ticks.read("cpu  100 0 50 800 20 0 0 30 7 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    after = Ticks.read("cpu  150 0 60 825 25 0 0 40 9 0\n")

    condition = Condition.between(before, after, 3, 1.25)

    assert before == Ticks(total=1000, idle=820, stolen=30)
    assert condition == Condition(round=3, load=1.25, stolen=10.0, idle=30.0)
    assert str(condition) == "load 1.2, 10.0 % stolen, 30 % idle"


def test_ticks_are_read_of_this_machine() -> None:
    before = Ticks.now()

    assert 0 < before.idle < before.total <= Ticks.now().total


def test_a_difference_within_the_spread_is_not_quoted() -> None:
    noisy = Verdict.of([0.9, 1.2, 1.0, 1.1, 1.05])
    clear = Verdict.of([1.5, 1.6, 1.55, 1.4, 1.6])

    assert not noisy.counts
    assert "no difference to quote" in str(noisy)
    assert clear.counts
    assert str(clear) == "1.550 (spread 0.100, rounds 1.400 to 1.600)"


@pytest.mark.parametrize("ratios", [[], [2.0], [2.0, 2.0]])
def test_few_rounds_are_not_quoted(ratios: list[float]) -> None:
    assert str(Verdict.of(ratios)).startswith("not quoted")


def test_two_checkouts_are_summed_up_value_by_value() -> None:
    rounds = [({"jobs/s": 100.0, "CPU": 10.0}, {"jobs/s": 200.0, "CPU": 10.0})] * 3

    heading, rate, cpu = ab.summary("chain", rounds)

    assert heading == "chain: 3 rounds that count"
    assert rate == "  jobs/s: A 100.00, B 200.00; B by A: 2.000 (spread 0.000, rounds 2.000 to 2.000)"
    assert "no difference to quote" in cpu


def test_no_round_that_counts_is_no_ratio() -> None:
    assert ab.summary("chain", []) == ["chain: 0 rounds that count"]


def test_subjects_are_named_by_a_list() -> None:
    assert sorted(ab.subjects("chain,idle, in place,1 MiB")) == ["1 MiB", "chain", "idle", "in place"]
    with pytest.raises(argparse.ArgumentTypeError, match="unknown: nothing"):
        ab.subjects("chain,nothing")


def test_a_setting_of_one_side_has_a_name_of_ours(tmp_path: Path) -> None:
    side = ab.Side("B", tmp_path, dict([ab.setting("BENCH_FORMAT=5")]))
    in_place = next(subject for subject in ab.SUBJECTS if subject.name == "in place")

    contender = side.contender(in_place)

    assert contender.settings == {"BENCH_IN_PLACE": "yes", "BENCH_FORMAT": "5"}
    assert contender.path.split(":") == [
        str(tmp_path / part) for part in ("bases", "components", "development")
    ]
    with pytest.raises(argparse.ArgumentTypeError):
        ab.setting("PATH=elsewhere")


def settings_read_by(module: str) -> set[str]:
    """The settings that a contender's own files ask for."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    origin = Path(spec.origin)
    files = origin.parent.glob("*.py") if origin.name == "__init__.py" else [origin]
    return {
        f"BENCH_{name}"
        for file in files
        for name in re.findall(r'\b(?:word|number)\(\s*"(\w+)"', file.read_text())
    }


@pytest.mark.parametrize(
    "contender",
    [*CONTENDERS, *(ab.Side("A", Path(), {}).contender(subject) for subject in ab.SUBJECTS)],
    ids=lambda each: f"{each.name}-{','.join(each.settings)}",
)
def test_a_contender_reads_each_setting_that_it_is_given(contender: Contender) -> None:
    # One that nothing reads measures the usual way, under another name.
    assert set(contender.settings) <= settings_read_by(contender.module)


def test_a_count_is_never_read_half_written(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from benchmarks.contending import Counter; c = Counter(Path({str(tmp_path)!r}))"
    command = [sys.executable, "-c", f"{code}\nfor _ in range(300_000): c.tick(1)"]
    counts, before = Counts(tmp_path), Tally(0, 0, 0, (), 0)

    with Process(command, clean_environment(PYTHONPATH=":".join(sys.path))) as process:
        while process.running:
            now = counts.read()
            # A slot that is zeroed on the way made a round of 24,000 jobs one of 7 jobs a second.
            assert now.processes >= before.processes
            assert now.last_stage >= before.last_stage
            assert now.newest >= before.newest
            assert now.newest or not now.last_stage
            before = now

    assert counts.read().last_stage == 300_000


def test_another_load_computes_on_the_last_core_and_ends_with_the_block() -> None:
    with busy() as pid:
        assert os.sched_getaffinity(pid) == {max(os.sched_getaffinity(0))}
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_page_has_a_row_for_what_was_measured() -> None:
    figures = rates(OURS.name, chain.ONE.column, 50, 60) + rates(IN_PLACE.name, chain.ONE.column, 70)
    figures += figures_of([Condition(1, 2.0, 0.5, 10.0), Condition(2, 4.0, 1.5, 20.0)])
    found = Found({"host": "2 cores"}, {"chain": figures})

    text = page(found)

    assert "| mousetrap | 55 (50 to 60) |" in text
    assert f"| {IN_PLACE.name} | 70 |" in text
    assert "| all rounds | 3 (2 to 4) | 1 (0.5 to 1.5) | 15 (10 to 20) |" in text
    assert IN_PLACE.name in picture(found)
    assert [measure.name for measure in MEASURES if measure.title not in text] == []
