"""Finds runs and dead letters by the beginning of their id."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from mousetrap.api_client import Api, LetterFilter, Misused, RunFilter, UnknownRun

Done = TypeVar("Done")

#: The shortest beginning of an id, how many ids an error lists, and what the id of a run may begin with.
_SHORTEST, _LISTED = 4, 10
_BEGINNING = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: The longest page of the API, and how many are asked for.
_PAGE, _PAGES = 200, 10


def with_run(api: Api, given: str, act: Callable[[str], Done]) -> Done:
    """Calls `act` with the id `given`, or if no run has it, with the only id that begins with it.

    Raises Misused when several runs begin with it.
    """
    given = given.removesuffix("…")  # as a table cuts it
    try:
        return act(given)
    except UnknownRun:
        found = _only("run", given, _run_ids(api, given))
        if found is None:
            raise
    return act(found)


def letter_place(api: Api, given: str) -> tuple[str, str]:
    """The queue and the whole id of a dead letter. Raises Misused where there is none."""
    found = api.letters(LetterFilter(ids=tuple(whole_letter_ids(api, [given]))), limit=1).value.letters
    if not found:
        raise Misused(f"there is no dead letter {given}, or not any more: `mousetrap dead list` lists them")
    return found[0].queue, found[0].id


def whole_letter_ids(api: Api, given: Sequence[str]) -> list[str]:
    """Whole ids in place of beginnings; ids that no letter has are unchanged.

    Raises Misused for the beginning of several ids, and for any beginning where one page cannot hold all letters.
    """
    known = {letter.id for letter in api.letters(LetterFilter(ids=tuple(given)), limit=_PAGE).value.letters}
    if known.issuperset(given) or len(given) > _PAGE:
        return list(given)
    page = api.letters(LetterFilter(), limit=_PAGE).value
    ids = [letter.id for letter in page.letters]
    whole = [each if each in known else _only("dead letter", each, ids) or each for each in given]
    if whole != list(given) and page.matched + page.unseen > len(ids):
        # An older letter may begin with it too, and discarding cannot be undone.
        raise Misused(
            f"{page.matched} dead letters are too many to find one by the beginning of its id: give all of it"
        )
    return whole


def _run_ids(api: Api, beginning: str) -> Iterator[str]:
    """The ids that begin so, until there are more than an error lists. Of runs of an earlier version the newest are looked at."""
    if len(beginning) < _SHORTEST or not _BEGINNING.fullmatch(beginning):
        return
    after: str | None = None
    for _ in range(_PAGES):
        page = api.runs(RunFilter(id=beginning), limit=_PAGE, after=after).value
        yield from (run.id for run in page.runs)
        after = page.next
        if after is None or len(page.runs) > _LISTED:
            return


def _only(what: str, given: str, ids: Iterable[str]) -> str | None:
    if len(given) < _SHORTEST:
        return None
    found = sorted({each for each in ids if each.startswith(given)})
    if len(found) <= 1:
        return found[0] if found else None
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    raise Misused(f"several {what}s begin with {given}: {', '.join(found[:_LISTED])}{more}")
