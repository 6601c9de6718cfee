"""Finds the run or the dead letter that the beginning of an id means."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from mousetrap.api_client import Api, Letter, Misused, UnknownRun, read_letters, read_page

Done = TypeVar("Done")

#: Characters that an id must at least be given by, runs that are looked through, newest first, and ids that an error lists.
_SHORTEST, _RUNS, _LISTED = 4, 1_000, 10
#: The longest page of the API.
_PAGE = 200


def with_run(api: Api, given: str, act: Callable[[str], Done]) -> Done:
    """What `act` gives for the run `given`, or if there is none for the only one whose id begins so.

    Raises Misused when that are several, or none of the newest thousand.
    """
    try:
        return act(given)
    except UnknownRun:
        found = _only("run", given, islice(_run_ids(api), _RUNS))
        if found is None:
            raise
    return act(found)


def letter_place(api: Api, given: str) -> tuple[str, str]:
    """The queue and the id of the dead letter that `given` is, or is the beginning of. Raises Misused."""
    letters = _letters(api, {"ids": whole_letter_ids(api, [given]), "limit": 1})
    if not letters:
        raise Misused(f"there is no dead letter {given}, or not any more: `mousetrap dead list` shows them")
    return letters[0].queue, letters[0].id


def whole_letter_ids(api: Api, given: Sequence[str]) -> list[str]:
    """The ids of the dead letters that these are, or are the beginnings of; others stay.

    Raises Misused for the beginning of several, and for one where not all letters can be looked at.
    """
    known = {letter.id for letter in _letters(api, {"ids": given, "limit": _PAGE})}
    if known.issuperset(given) or len(given) > _PAGE:
        return list(given)
    page = read_letters(api.dead_as_json("", {"limit": _PAGE}))
    ids = [letter.id for letter in page.letters]
    whole = [each if each in known else _only("dead letter", each, ids) or each for each in given]
    if whole != list(given) and page.matched + page.unseen > len(ids):
        # An older letter may begin so as well, and discarding cannot be undone.
        raise Misused(
            f"{page.matched} dead letters are too many to find one by the beginning of its id: give all of it"
        )
    return whole


def _letters(api: Api, wish: Mapping[str, Any]) -> Sequence[Letter]:
    return read_letters(api.dead_as_json("", wish)).letters


def _run_ids(api: Api) -> Iterator[str]:
    after: str | None = None
    while True:
        page = read_page(api.runs_as_json(None, None, _PAGE, after))
        yield from (run.id for run in page.runs)
        after = page.next
        if after is None:
            return


def _only(what: str, given: str, ids: Iterable[str]) -> str | None:
    if len(given) < _SHORTEST:
        return None
    found = sorted({each for each in ids if each.startswith(given)})
    if len(found) <= 1:
        return found[0] if found else None
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    raise Misused(f"several {what}s begin with {given}: {', '.join(found[:_LISTED])}{more}")
