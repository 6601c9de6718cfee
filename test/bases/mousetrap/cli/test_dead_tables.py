"""Tables of dead letters on a terminal of 80 columns."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mousetrap.cli.dead import _input_of
from mousetrap.cli.output import traceback_text
from mousetrap.cli.tables.dead import groups_table, letter_facts, letters_table
from mousetrap.shapes import Letter, LetterGroup, LetterGroups, LetterPage
from support.terminal import shown

#: 2026-01-02 03:04:05 UTC.
AT = 1_767_323_045_000
NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
LETTER = Letter(
    id="22728cbedb3850d4a1d66f8d53b155e7",
    queue="start_fetch",
    reason="max-retries",
    error_kind="mousetrap.earthquakes.contracts.FeedUnavailable",
    error="the feed answers 503",
    believed=True,
    attempts=5,
    worker="w1",
    at_ms=AT,
    run_id="019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b",
    pipeline="earthquakes",
    stage="fetch",
)
FOREIGN = Letter(id="m1", queue="start_fetch", reason="signature", error_kind="", error="", believed=False)


def test_letters_are_a_line_each_whatever_they_died_of() -> None:
    yesterday = replace(LETTER, at_ms=AT - 86_400_000, error="x\n" * 200)

    assert shown(
        letters_table(LetterPage(letters=(LETTER, yesterday, FOREIGN), matched=5, seen=5, unseen=0), NOW)
    ) == (
        "dead letter                       died         stage        why\n"
        "────────────────────────────────────────────────────────────────────────────────\n"
        "22728cbedb3850d4a1d66f8d53b155e7  03:04:05     fetch        max-retries FeedUna…\n"
        "22728cbedb3850d4a1d66f8d53b155e7  01-01 03:04  fetch        max-retries FeedUna…\n"
        "m1                                             start_fetch  signature\n"
        "and 2 more: --limit shows up to 200"
    )


def test_an_error_without_text_has_no_bare_colon() -> None:
    bare = replace(LETTER, error_kind="KeyboardInterrupt", error="")

    assert shown(letters_table(LetterPage(letters=(bare,), matched=1, seen=1, unseen=0), NOW)).endswith(
        "max-retries KeyboardInterrupt"
    )
    assert "error        KeyboardInterrupt\n" in shown(letter_facts(bare, NOW))


def test_groups_are_counted() -> None:
    group = LetterGroup(
        queue="start_fetch",
        reason="max-retries",
        error_kind="pkg.Broken",
        count=120,
        oldest_ms=AT,
        newest_ms=AT,
        example=LETTER,
    )

    assert shown(groups_table(LetterGroups(groups=(group,), seen=10_000, unseen=2_345), NOW)) == (
        "count  queue        reason       error   oldest    newest\n"
        "───────────────────────────────────────────────────────────\n"
        "120    start_fetch  max-retries  Broken  03:04:05  03:04:05\n"
        "10000 of 12345 were looked at: more than one request reads, or in another look"
    )


@pytest.mark.parametrize(("seen", "text"), [(0, "no dead letters"), (3, "no dead letter matches")])
def test_none_is_shown_as_what_it_is(seen: int, text: str) -> None:
    assert shown(letters_table(LetterPage(letters=(), matched=0, seen=seen, unseen=0), NOW)) == text
    assert shown(groups_table(LetterGroups(groups=(), seen=seen, unseen=0), NOW)) == text


def test_letters_that_could_not_be_read_are_not_reported_as_not_matching() -> None:
    text = "none of 8 dead letters could be read just now: repeat the command"

    assert shown(letters_table(LetterPage(letters=(), matched=0, seen=0, unseen=8), NOW)) == text
    assert shown(groups_table(LetterGroups(groups=(), seen=0, unseen=8), NOW)) == text


@pytest.mark.parametrize(("generation", "text"), [(1, "once before"), (2, "2 times before")])
def test_a_letter_shows_how_often_it_was_redriven(generation: int, text: str) -> None:
    again = replace(LETTER, generation=generation)

    assert f"redriven     {text}" in shown(letter_facts(again, NOW))


def test_a_letter_shows_what_happened() -> None:
    again = replace(LETTER, generation=2)

    assert shown(letter_facts(again, NOW)) == (
        "dead letter  22728cbedb3850d4a1d66f8d53b155e7\n"
        "queue        start_fetch\n"
        "run          019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b\n"
        "stage        fetch of earthquakes\n"
        "reason       max-retries\n"
        "error        mousetrap.earthquakes.contracts.FeedUnavailable: the feed answers\n"
        "             503\n"
        "died         03:04:05\n"
        "attempts     5, by w1 last\n"
        "redriven     2 times before"
    )


def test_a_letter_that_is_not_ours_shows_it() -> None:
    assert "no key of ours signed it" in shown(letter_facts(FOREIGN, NOW))


def test_what_somebody_put_into_a_queue_does_not_steer_the_terminal() -> None:
    evil = replace(
        LETTER, error="\x1b[2J\x07\x9b1m", worker="\x1b]0;x", stage="\x1bc", traceback="a\n\x1b[1A"
    )

    for what in (
        letters_table(LetterPage(letters=(evil,), matched=1, seen=1, unseen=0), NOW),
        letter_facts(evil, NOW),
        traceback_text(evil.traceback),
    ):
        assert not {"\x1b", "\x07", "\x9b"} & set(shown(what, width=300))


def test_an_input_that_is_not_there_is_its_reason() -> None:
    broken = replace(LETTER, payload_error="it cannot be shown as JSON: Input data was truncated")

    assert _input_of(broken) == "it cannot be shown as JSON: Input data was truncated"
