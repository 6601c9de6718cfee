"""Notes on groups are kept, replaced, taken away and bounded."""

from typing import Any

import pytest

from mousetrap.jobs import StoreUnreachable
from mousetrap.letter_notes import LetterNotes, Noted, notes, open_notes
from mousetrap.shapes import LetterNote
from support.ports import closed_port
from support.valkey import console

ONE, OTHER = Noted("reserve", "max-retries", "shop.SupplierAway"), Noted("reserve", "max-retries", "")


@pytest.fixture
def kept(store_url: str) -> Any:
    return open_notes(store_url)


def note(text: str, at_ms: int = 1) -> LetterNote:
    return LetterNote(text=text, who="anna", at_ms=at_ms)


async def test_a_note_is_that_of_its_group_alone_until_another_is_written(kept: LetterNotes) -> None:
    assert await kept.of([]) == []
    await kept.put(ONE, note("ticket 80"))
    await kept.put(ONE, note("ticket 81: Größe fehlt"))

    assert await kept.of([OTHER, ONE]) == [None, note("ticket 81: Größe fehlt")]

    await kept.put(ONE, note(""))
    assert await kept.of([ONE]) == [None]


async def test_of_too_many_the_oldest_give_way(kept: LetterNotes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "MOST_NOTES", 3)
    groups = [Noted(f"q{number}", "contract", "E") for number in range(5)]

    for place, group in enumerate(groups):
        await kept.put(group, note(f"n{place}", at_ms=100 - place if place == 1 else place))

    assert [it.text if it else "" for it in await kept.of(groups)] == ["", "n1", "", "n3", "n4"]


async def test_what_is_no_note_is_none(kept: LetterNotes, store_url: str) -> None:
    with console(store_url) as redis:
        redis.hset("mousetrap:letter_notes", ONE.field, b'{"text": 1}')

    assert await kept.of([ONE]) == [None]


async def test_without_the_store_that_is_an_error() -> None:
    async with open_notes(f"valkey://127.0.0.1:{closed_port()}/0") as away:
        with pytest.raises(StoreUnreachable):
            await away.of([ONE])
        with pytest.raises(StoreUnreachable):
            await away.put(ONE, note("x"))
