"""Draws jobs a second as bars in an SVG file."""

from benchmarks.chain import JOBS, ONE, TWO
from benchmarks.figures import cell, some
from benchmarks.page import Found

_WIDTH, _LEFT, _BAR, _GAP = 820, 210, 13, 12
_COLOURS = {ONE.column: "#2f6f9f", TWO.column: "#9cc3dd"}


def picture(found: Found) -> str:
    """A row for each contender, with a bar for one process and a paler one for two."""
    figures = list(found.figures.get("chain", []))
    rows = list(dict.fromkeys(figure.row for figure in figures if figure.table == JOBS))
    medians = {
        (row, column): middle.median
        for row in rows
        for column in _COLOURS
        if (middle := cell(figure.value for figure in some(figures, JOBS, column, [row])))
    }
    scale = (_WIDTH - _LEFT - 90) / max(medians.values(), default=1)
    parts, y = [_legend()], 44
    for row in rows:
        parts.append(f'<text x="{_LEFT - 10}" y="{y + _BAR - 2}" text-anchor="end">{row}</text>')
        for column, colour in _COLOURS.items():
            if (row, column) in medians:
                parts.append(_bar(y, medians[row, column], scale, colour))
                y += _BAR + 1
        y += _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" font-family="sans-serif" font-size="13">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _bar(y: int, value: float, scale: float, colour: str) -> str:
    width = value * scale
    return (
        f'<rect x="{_LEFT}" y="{y}" width="{width:.0f}" height="{_BAR}" fill="{colour}"/>'
        f'<text x="{_LEFT + width + 6:.0f}" y="{y + _BAR - 2}" font-size="11">{value:,.0f}</text>'
    )


def _legend() -> str:
    one, two = _COLOURS.values()
    return (
        '<text x="12" y="22" font-size="15">Jobs a second, two chained no-op stages</text>'
        f'<rect x="{_WIDTH - 250}" y="12" width="12" height="12" fill="{one}"/><text x="{_WIDTH - 232}" y="22">one process</text>'
        f'<rect x="{_WIDTH - 130}" y="12" width="12" height="12" fill="{two}"/><text x="{_WIDTH - 112}" y="22">two processes</text>'
    )
