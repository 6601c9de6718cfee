"""Groups dead letters by queue, reason and error."""

from collections.abc import Iterable

from mousetrap.dead_letters.letter import DeadLetter
from mousetrap.shapes import LetterGroup


def group(letters: Iterable[DeadLetter]) -> list[LetterGroup]:
    """The groups of `letters`, which come oldest first; the largest group comes first."""
    members: dict[tuple[str, str, str], list[DeadLetter]] = {}
    for letter in letters:
        members.setdefault((letter.queue, letter.reason, letter.error_kind), []).append(letter)
    return sorted((_group(*key, found) for key, found in members.items()), key=lambda each: -each.count)


def _group(queue: str, reason: str, error_kind: str, letters: list[DeadLetter]) -> LetterGroup:
    times = [letter.at_ms for letter in letters if letter.at_ms is not None]
    return LetterGroup(
        queue=queue,
        reason=reason,
        error_kind=error_kind,
        count=len(letters),
        oldest_ms=min(times, default=None),
        newest_ms=max(times, default=None),
        example=letters[-1],
    )
