"""Makes Markdown tables from figures alone."""

from collections.abc import Iterable, Sequence

from benchmarks.figures import Cell, Figure, Shown, cell


def tables(figures: Sequence[Figure]) -> str:
    """A table for each title: rows and columns in the order in which they came, medians, and the spread in brackets."""
    return "\n".join(
        _table(title, [f for f in figures if f.table == title]) for title in _unique(f.table for f in figures)
    )


def ratios(shown: Sequence[Shown]) -> str:
    """A table of what was asked for and what it came to."""
    lines = ["| | asked for | median (lowest to highest) |", "|---|---|---:|"]
    for each in shown:
        found = f"{number(each.found.median)}{_spread(each.found)}" if each.found else "not measured"
        lines.append(f"| {each.what} | {each.asked} | {found} |")
    return "\n".join(lines)


def _table(title: str, figures: Sequence[Figure]) -> str:
    rows, columns = _unique(f.row for f in figures), _unique(f.column for f in figures)
    unit = next((f.unit for f in figures if f.unit), "")
    lines = [
        f"**{title}** ({unit})" if unit else f"**{title}**",
        "",
        f"| | {' | '.join(columns)} |",
        f"|---|{'---:|' * len(columns)}",
    ]
    for row in rows:
        there = [[f for f in figures if f.row == row and f.column == column] for column in columns]
        lines.append(f"| {row} | {' | '.join(map(_shown, there))} |")
    notes = _unique(f"{f.row}: {_short(f.note)}" for f in figures if f.note)
    return "\n".join([*lines, "", *(f"- {note}" for note in notes), *([""] if notes else [])])


def _shown(figures: Sequence[Figure]) -> str:
    """The median, and lowest to highest; how many rounds did not count, if any."""
    if not figures:
        return ""
    lost = sum(figure.value is None for figure in figures)
    found = cell(figure.value for figure in figures)
    if found is None:
        return "not measured"
    return (f"{number(found.median)}{_spread(found)}" + (f", {lost} failed" if lost else "")).strip()


def _spread(found: Cell) -> str:
    return f" ({number(found.lowest)} to {number(found.highest)})" if found.rounds > 1 else ""


def number(value: float) -> str:
    """Three digits are all that such a figure is worth."""
    return f"{float(f'{value:.3g}'):,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _short(note: str) -> str:
    line = " ".join(note.split()).replace("|", "/")
    return line if len(line) < 200 else f"{line[:200]}…"


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
