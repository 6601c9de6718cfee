"""Draws dead letters as tables: pure."""

from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mousetrap.cli.tables.style import moment, table_of
from mousetrap.shapes import Letter, LetterGroups, LetterLine, LetterPage


def letters_table(page: LetterPage, now: datetime, hint: str = "") -> RenderableType:
    """Dead letters, newest first, a line each: the whole reason is on a letter's own page. `hint` is why there may be none."""
    if not page.letters:
        return Group(_none(page), hint) if hint else _none(page)
    table = table_of("dead letter", "died", "stage", "why")
    # The last column gets the rest of the line, and is cut to it.
    table.expand, why = True, table.columns[-1]
    why.ratio, why.no_wrap, why.overflow = 1, True, "ellipsis"
    for letter in page.letters:
        died = moment(letter.at_ms, now) if letter.at_ms else ""
        table.add_row(letter.id, died, letter.stage or letter.queue, _why(letter))
    more = page.matched - len(page.letters)
    return Group(
        table, *([Text(f"and {more} more: --limit shows up to 200", "dim")] if more else []), *_unseen(page)
    )


def groups_table(found: LetterGroups, now: datetime) -> RenderableType:
    """Dead letters, counted by queue, reason and error."""
    if not found.groups:
        return _none(found)
    table = table_of("count", "queue", "reason", "error", "oldest", "newest")
    for group in found.groups:
        table.add_row(
            str(group.count),
            group.queue,
            Text(group.reason, "red"),
            _short(group.error_kind),
            moment(group.oldest_ms, now) if group.oldest_ms else "",
            moment(group.newest_ms, now) if group.newest_ms else "",
        )
    return Group(table, *_unseen(found))


def letter_facts(letter: Letter, now: datetime) -> Table:
    """A letter: its queue, run, reason, error, attempts."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row("dead letter", Text(letter.id, "bold"))
    facts.add_row("queue", letter.queue)
    if letter.run_id:
        facts.add_row("run", letter.run_id)
        facts.add_row("stage", f"{letter.stage} of {letter.pipeline}")
    facts.add_row("reason", Text(letter.reason, "bold red"))
    facts.add_row("error", Text(_with_colon(letter.error_kind, letter.error), "red"))
    if letter.at_ms:
        facts.add_row("died", moment(letter.at_ms, now))
    if letter.attempts:
        facts.add_row(
            "attempts",
            f"{letter.attempts}" + (f", by {letter.worker} last" if letter.worker else ""),
        )
    if letter.generation:
        facts.add_row(
            "redriven", "once before" if letter.generation == 1 else f"{letter.generation} times before"
        )
    if not letter.believed:
        facts.add_row(
            "", Text("no key of ours signed it: it can be redriven as it is, and not edited", "yellow")
        )
    return facts


def _why(letter: LetterLine) -> Text:
    kind, error = _short(letter.error_kind), " ".join(letter.error.split())
    return Text(letter.reason, "red").append(f" {why}" if (why := _with_colon(kind, error)) else "", "")


def _with_colon(kind: str, text: str) -> str:
    """Both with a colon between them, or the one that is there."""
    return ": ".join(filter(None, (kind, text)))


def _short(kind: str) -> str:
    return kind.rpartition(".")[2]


def _none(found: LetterPage | LetterGroups) -> RenderableType:
    """Letters that could not be read may match: a busy broker, or another look, has them for a moment."""
    if found.unseen and not found.seen:
        return f"none of {found.unseen} dead letters could be read just now: repeat the command"
    return Group("no dead letter matches" if found.seen else "no dead letters", *_unseen(found))


def _unseen(found: LetterPage | LetterGroups) -> list[Text]:
    if not found.unseen:
        return []
    return [
        Text(
            f"{found.seen} of {found.seen + found.unseen} were looked at: more than one request reads, or in another look",
            "yellow",
        )
    ]
