"""Draws limits as a table: pure."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from mousetrap.cli.tables.style import table_of
from mousetrap.shapes import Limit, LimitHolder, LimitKey

#: Holders of one key that are named; `--json` has all.
_NAMED = 5


def limits_table(limits: Sequence[Limit]) -> RenderableType:
    """Each limit with its keys: how many have room, how many wait, and the runs that hold it."""
    if not limits:
        return "no limits: no stage of a pipeline that is known here has one"
    table = table_of("stage", "limit", "of", "running", "waiting", "held by")
    for limit in limits:
        words = limit_in_words(limit)
        for number, key in enumerate(limit.keys or (None,)):
            first = (limit.stage, words) if not number else ("", "")
            table.add_row(*first, *_cells(key))
    left_out = [f"{it.stage}: {it.more:,} keys more" for it in limits if it.more]
    return Group(table, Text(), *map(Text, left_out)) if left_out else table


def limit_in_words(limit: Limit) -> str:
    """As its stage declares it."""
    what = f"{limit.most:,} at once" if limit.every is None else f"{limit.most:,} a {limit.every}"
    return what + (f" per {limit.per}" if limit.per else f", fair by {limit.fair}" if limit.fair else "")


def _cells(key: LimitKey | None) -> tuple[str | Text, ...]:
    if key is None:
        return "", "0", "0", ""
    waiting = Text(f"{key.waiting:,}", "bold yellow" if key.waiting else "")
    return Text(key.of), str(key.running), waiting, _held_by(key.holders)


def _held_by(holders: Sequence[LimitHolder]) -> str:
    """Whole ids, for runs that were accepted within a minute have the same beginning."""
    more = [f"and {len(holders) - _NAMED:,} more"] if len(holders) > _NAMED else []
    return "\n".join([*(it.run_id for it in holders[:_NAMED]), *more])
