"""Groups dead letters by queue, reason and error."""

from collections import Counter
from collections.abc import Iterable, Sequence

from mousetrap.dead_letters.letter import DeadLetter
from mousetrap.shapes import LetterGroup, LetterText

#: The pieces of the last hour, of five minutes each.
_PIECES, _PIECE_MS = 12, 300_000
#: Texts of one group, and letters that a text has at least: of one alone the list of letters shows as much.
_TEXTS, _LEAST = 10, 2


def group(letters: Iterable[DeadLetter], now_ms: int) -> list[LetterGroup]:
    """The groups of `letters`, which come oldest first; the largest group comes first."""
    members: dict[tuple[str, str, str], list[DeadLetter]] = {}
    for letter in letters:
        members.setdefault((letter.queue, letter.reason, letter.error_kind), []).append(letter)
    return sorted(
        (_group(*key, found, now_ms) for key, found in members.items()), key=lambda each: -each.count
    )


def _group(
    queue: str, reason: str, error_kind: str, letters: Sequence[DeadLetter], now_ms: int
) -> LetterGroup:
    times = [letter.at_ms for letter in letters if letter.at_ms is not None]
    return LetterGroup(
        queue=queue,
        reason=reason,
        error_kind=error_kind,
        count=len(letters),
        oldest_ms=min(times, default=None),
        newest_ms=max(times, default=None),
        recent=_recent(times, now_ms),
        texts=tuple(_texts(letters)),
        example=letters[-1],
    )


def _recent(times: Iterable[int], now_ms: int) -> tuple[int, ...]:
    """The last piece goes on: it changes with a letter, and else once in five minutes."""
    counts = [0] * _PIECES
    first = now_ms // _PIECE_MS - _PIECES + 1
    for at_ms in times:
        if 0 <= (place := at_ms // _PIECE_MS - first) < _PIECES:
            counts[place] += 1
    return tuple(counts)


def _texts(letters: Iterable[DeadLetter]) -> Iterable[LetterText]:
    found = Counter(letter.error for letter in letters if letter.error).most_common(_TEXTS)
    return (LetterText(text=text, count=count) for text, count in found if count >= _LEAST)
