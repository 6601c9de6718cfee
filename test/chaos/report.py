"""Writes the results of a run as tables for docs/guarantees.md."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from chaos.drive import AppliedFault
from chaos.history import History
from chaos.invariants import breaches

#: Between these two lines of the page stands what this module writes.
BEGIN, END = "<!-- chaos: written by `make chaos` -->", "<!-- chaos: end -->"
#: Seconds before a fault and after its recovery in which throughput is measured; shorter spans are left out.
_WINDOW, _SHORTEST = 3.0, 1.0


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """What was done to one deployment, and the result."""

    title: str
    servers: str
    applied: Sequence[AppliedFault]
    #: What went wrong with faults that found no mark, or after which nothing went on.
    missed: Sequence[str]
    history: History
    #: Workers that died or ended before they were asked to.
    ended_workers: int
    seconds: float


def tables(chapters: Sequence[Chapter], facts: Mapping[str, str]) -> str:
    """The whole report."""
    conditions = ", ".join(f"{name} {value}" for name, value in facts.items())
    servers = "; ".join(f"{each.title}: {each.servers}, {each.seconds / 60:.0f} minutes" for each in chapters)
    return "\n\n".join([f"{conditions}. {servers}.", _counts(chapters), *map(_faults, chapters)])


def write_into(page: Path, report: str) -> None:
    """Puts the report between the two lines."""
    text = page.read_text()
    between = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    assert between.search(text), f"{page} has no lines {BEGIN} and {END}"
    page.write_text(between.sub(lambda _: f"{BEGIN}\n\n{report}\n\n{END}", text))


def _counts(chapters: Sequence[Chapter]) -> str:
    rows: defaultdict[str, list[str]] = defaultdict(list)
    for chapter in chapters:
        for name, value in _count(chapter).items():
            rows[name].append(f"{value:,}")
    head = ["", *(chapter.title for chapter in chapters)]
    return _table(head, [[name, *values] for name, values in rows.items()])


def _count(chapter: Chapter) -> dict[str, int]:
    history = chapter.history
    accepted = history.runs_that("accepted")
    ends = Counter(stored.state for run, stored in history.runs.items() if run in accepted)
    found = breaches(history)
    begun = history.of("begun")
    return {
        "faults": len(chapter.applied),
        "faults that found no mark": len(chapter.missed),
        "workers that died or were restarted": chapter.ended_workers,
        "runs accepted": len(accepted),
        "completed": ends["completed"],
        "dead letters": ends["failed"],
        "cancelled": ends["cancelled"],
        "expired": ends["expired"],
        "in a queue when it was deleted": len({r for r in history.deleted if _is_open(history, r)}),
        "jobs": len({line.job for line in begun}),
        "children": len({line.job for line in begun if line.stage == "read"}),
        "joins": len({line.job for line in begun if line.stage == "sum"}),
        "attempts begun": len(begun),
        "effects tried again and not had again": sum(each.tries - 1 for each in history.effects),
        "**lost**": len(found.get("every_accepted_run_ended", [])),
        "**unexpected**": len(found.get("nothing_unexpected_happened", [])),
        "**effects twice**": len(found.get("no_effect_happened_twice", [])),
        "**innocent dead**": len(found.get("runs_end_as_their_kind_must", [])),
        "**breaches of other invariants**": sum(
            len(lines) for name, lines in found.items() if name not in _COUNTED
        ),
    }


_COUNTED = (
    "every_accepted_run_ended",
    "nothing_unexpected_happened",
    "no_effect_happened_twice",
    "runs_end_as_their_kind_must",
)


def _is_open(history: History, run: str) -> bool:
    return run in history.runs and history.runs[run].state not in ("completed", "failed", "cancelled")


def _faults(chapter: Chapter) -> str:
    groups: defaultdict[str, list[AppliedFault]] = defaultdict(list)
    for each in chapter.applied:
        groups[each.fault.group].append(each)
    done = sorted(line.at for line in chapter.history.of("done"))
    head = [chapter.title, "faults", "recovery p50", "p95", "max", "jobs/s before", "during", "after"]
    rows = [
        [group, str(len(some)), *_recovery(some), *_throughput(some, done)]
        for group, some in sorted(groups.items())
    ]
    return _table(head, rows)


def _recovery(applied: Iterable[AppliedFault]) -> list[str]:
    seconds = sorted(each.recovery for each in applied)
    return [f"{at:.2f} s" for at in (_quantile(seconds, 0.5), _quantile(seconds, 0.95), seconds[-1])]


def _quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of all do not exceed."""
    return values[max(0, -(-len(values) * int(share * 100) // 100) - 1)]


def _throughput(applied: Sequence[AppliedFault], done: Sequence[float]) -> list[str]:
    spans = [
        [(each.span.begin - _WINDOW, each.span.begin) for each in applied],
        [(each.span.begin, each.span.end) for each in applied],
        [(each.span.end + each.recovery, each.span.end + each.recovery + _WINDOW) for each in applied],
    ]
    return [_rate([span for span in some if span[1] - span[0] >= _SHORTEST], done) for some in spans]


def _rate(spans: Sequence[tuple[float, ...]], done: Sequence[float]) -> str:
    if not spans:
        return ""
    return f"{fmean(sum(begin < at <= end for at in done) / (end - begin) for begin, end in spans):.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:" for _ in head[1:]]], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
