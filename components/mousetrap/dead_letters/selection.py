"""Selects dead letters."""

from mousetrap.dead_letters.letter import DeadLetter
from mousetrap.shapes import LetterConditions

#: The name that this brick and its users have for the conditions.
Selection = LetterConditions


def matches(letter: DeadLetter, selection: Selection) -> bool:
    """Whether the letter is selected."""
    required = (
        (selection.queue, letter.queue),
        (selection.reason, letter.reason),
        (selection.run, letter.run_id),
        (selection.stage, letter.stage),
    )
    at_ms = letter.at_ms or 0
    return (
        all(wanted in (None, value) for wanted, value in required)
        and (not selection.ids or letter.id in selection.ids)
        and (selection.error is None or _has_name(letter.error_kind, selection.error))
        and (selection.text is None or selection.text.casefold() in letter.error.casefold())
        and (selection.before_ms is None or at_ms < selection.before_ms)
        and (selection.after_ms is None or at_ms >= selection.after_ms)
    )


def _has_name(kind: str, name: str) -> bool:
    return kind == name or kind.endswith(f".{name}")
