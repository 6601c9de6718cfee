"""Selects dead letters."""

from dataclasses import dataclass

from mousetrap.dead_letters.letter import DeadLetter


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a letter must match; a field that is left out matches any, so an empty selection matches all."""

    #: The queue that gave it up.
    queue: str | None = None
    ids: frozenset[str] = frozenset()
    reason: str | None = None
    #: The error's class, with its module or without.
    error: str | None = None
    run: str | None = None
    stage: str | None = None
    #: Milliseconds since 1970. A letter without a time counts as older than any.
    before_ms: int | None = None
    after_ms: int | None = None


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
        and (selection.before_ms is None or at_ms < selection.before_ms)
        and (selection.after_ms is None or at_ms >= selection.after_ms)
    )


def _has_name(kind: str, name: str) -> bool:
    return kind == name or kind.endswith(f".{name}")
