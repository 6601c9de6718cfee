"""Names a submitted form's fields, as `value:/regions/0`."""

from collections.abc import Iterable
from enum import StrEnum


class Word(StrEnum):
    """What a submitted text is."""

    VALUE = "value"
    #: Raw JSON.
    JSON = "json"
    #: How many rows there are.
    ROWS = "rows"
    #: A box is ticked: null, or left out.
    NONE = "none"
    ABSENT = "absent"
    #: The state of a list or an object.
    STATE = "is"
    #: The tag that is chosen, and the one whose fields the form had.
    TAG = "tag"
    SHOWN = "shown"


#: In a list of rows, most that are shown; a longer one is raw JSON.
MOST_ROWS = 100

_WORDS = frozenset(Word)


def name_of(word: Word, pointer: str) -> str:
    """The name of a form's field."""
    return f"{word}:{pointer}"


def below(pointer: str, step: str | int) -> str:
    """The pointer of a member or an item."""
    return f"{pointer}/{str(step).replace('~', '~0').replace('/', '~1')}"


def is_under(name: str, pointer: str) -> bool:
    """Whether the name is that of a field within the one at `pointer`."""
    return name.partition(":")[2].startswith(f"{pointer}/")


def ours(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Those of the pairs that are of such a form, the first of each name. Browsers write a line's end as two characters."""
    found: dict[str, str] = {}
    for name, text in pairs:
        if name.partition(":")[0] in _WORDS:
            found.setdefault(name, text.replace("\r\n", "\n"))
    return found


def count(text: str) -> int:
    """A number of rows; 0 for anything else, and never more than one too many."""
    return min(int(text), MOST_ROWS + 1) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def with_row(pairs: dict[str, str], pointer: str) -> dict[str, str]:
    """The pairs with one row more."""
    rows = name_of(Word.ROWS, pointer)
    return {**pairs, rows: str(count(pairs.get(rows, "")) + 1)}


def without_row(pairs: dict[str, str], pointer: str, row: int) -> dict[str, str]:
    """The pairs without that row; those after it move up."""
    rows = name_of(Word.ROWS, pointer)
    kept: dict[str, str] = {}
    for name, text in pairs.items():
        moved = _moved(name, pointer, row)
        if moved is not None:
            kept[moved] = text
    return {**kept, rows: str(max(0, count(pairs.get(rows, "")) - 1))}


def _moved(name: str, pointer: str, row: int) -> str | None:
    """The name once the row is gone; None for a name in it."""
    word, _, place = name.partition(":")
    if not place.startswith(f"{pointer}/"):
        return name
    index, slash, rest = place[len(pointer) + 1 :].partition("/")
    if not index.isdigit() or count(index) < row:
        return name
    return None if count(index) == row else f"{word}:{pointer}/{count(index) - 1}{slash}{rest}"
