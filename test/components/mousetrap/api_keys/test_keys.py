"""Tests which keys are valid, and how wrong entries are refused."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.api_keys import ALLOWS, ApiKeys, Caller, Scope, new_key

CHANCE = bytes(range(32))
KEY, ENTRY = new_key("ci-bot", ["read", "run"], CHANCE)
DIGEST = ENTRY.rpartition(":")[2]


def test_a_new_key_is_found_by_its_entry_with_its_scopes() -> None:
    assert KEY.startswith("mt_ci-bot_")
    assert ApiKeys.parse(ENTRY).find(KEY) == Caller("ci-bot", frozenset({Scope.READ, Scope.RUN}))


def test_an_entry_holds_nothing_of_the_secret() -> None:
    secret = KEY.removeprefix("mt_ci-bot_")
    assert secret not in ENTRY
    assert ENTRY.startswith("ci-bot:read+run:")


def test_a_key_whose_secret_holds_an_underscore_is_found() -> None:
    key, entry = new_key("a", ["read"], b"\xff" * 32)
    assert "_" in key.removeprefix("mt_a_")
    assert ApiKeys.parse(entry).find(key) is not None


@pytest.mark.parametrize(
    "key",
    [
        "",
        "mt_ci-bot_",
        "mt_stranger_" + KEY.removeprefix("mt_ci-bot_"),
        KEY[:-1],
        KEY + "A",
        KEY.upper(),
        "xx" + KEY[2:],
        "mt_ci-bot_\N{SNOWMAN}",
        DIGEST,
        ENTRY,
    ],
)
def test_another_key_is_not_found(key: str) -> None:
    assert ApiKeys.parse(ENTRY).find(key) is None


def test_no_key_is_found_by_an_empty_digest() -> None:
    assert ApiKeys.parse("").find("mt_stranger_x") is None


def test_entries_are_separated_by_commas_or_line_ends() -> None:
    other, entry = new_key("other", ["operate"], CHANCE[::-1])
    for text in (f"{ENTRY},{entry}", f"{ENTRY}\n{entry}\n", f" {ENTRY} ,\n {entry}"):
        keys = ApiKeys.parse(text)
        assert keys.find(KEY) and keys.find(other) == Caller("other", frozenset({Scope.OPERATE}))


def test_without_entries_there_are_no_keys() -> None:
    assert not ApiKeys.parse(" \n,")
    assert ApiKeys.parse(ENTRY)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (KEY, "key 1 is not of the form"),
        (f"{ENTRY},{KEY}", "key 2 is not of the form"),
        (f"Ci:read:{DIGEST}", "key 1 is not of the form"),
        (f"{'a' * 33}:read:{DIGEST}", "key 1 is not of the form"),
        (f"ci::{DIGEST}", "key 'ci' needs scopes out of read, run, operate"),
        (f"ci:read+write:{DIGEST}", "key 'ci' needs scopes out of read, run, operate"),
        ("ci:read", "key 'ci' has no SHA-256 digest"),
        ("ci:read:secret", "key 'ci' has no SHA-256 digest"),
        (f"{ENTRY}\n{ENTRY}", "key id 'ci-bot' is given twice"),
    ],
)
def test_a_wrong_entry_is_refused_without_showing_it(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error) as refused:
        ApiKeys.parse(text)
    assert "secret" not in str(refused.value)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    ("key_id", "scopes", "chance"),
    [("A_b", ["read"], CHANCE), ("a", [], CHANCE), ("a", ["all"], CHANCE), ("a", ["read"], b"short")],
)
def test_a_key_that_could_not_be_read_again_is_not_made(
    key_id: str, scopes: list[str], chance: bytes
) -> None:
    with pytest.raises(ValueError, match="key"):
        new_key(key_id, scopes, chance)


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True),
            st.sets(st.sampled_from(Scope), min_size=1),
            st.none() | st.dates(date(1971, 1, 1), date(9000, 1, 1)),
        ),
        unique_by=lambda each: each[0],
        max_size=5,
    )
)
def test_entries_with_and_without_an_end_stand_side_by_side(
    made: list[tuple[str, set[Scope], date | None]],
) -> None:
    keys = [new_key(key_id, scopes, CHANCE, last_day=day) for key_id, scopes, day in made]
    ring = ApiKeys.parse("\n".join(entry for _, entry in keys))

    for (key, _), (key_id, scopes, day) in zip(keys, made, strict=True):
        caller = ring.find(key)
        assert caller is not None
        assert (caller.id, set(caller.scopes), caller.last_day) == (key_id, scopes, day)


def test_a_key_is_good_until_the_end_of_its_last_day() -> None:
    key, entry = new_key("a", ["read"], CHANCE, last_day=date(2027, 2, 26))
    caller = ApiKeys.parse(entry).find(key)

    assert entry.endswith(":2027-02-26")
    assert caller is not None
    assert caller.ends_s == datetime(2027, 2, 27, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("day", ["", "soon", "2027-02-30", "2027-02-26T10:00", "9999-12-31", "2027-02-26:x"])
def test_a_last_day_that_is_none_is_refused(day: str) -> None:
    with pytest.raises(ValueError, match="key 'ci-bot' needs its last day as YYYY-MM-DD"):
        ApiKeys.parse(f"{ENTRY}:{day}")


def test_each_scope_reports_what_it_allows() -> None:
    assert set(ALLOWS) == set(Scope) and all(ALLOWS.values())


def test_a_mark_is_found_again_until_its_key_is_replaced_or_taken_out() -> None:
    keys = ApiKeys.parse(ENTRY)
    caller = keys.callers["ci-bot"][0]
    mark = keys.mark(caller, b"session")
    _, replaced = new_key("ci-bot", ["read", "run"], CHANCE[::-1])

    assert keys.find_marked("ci-bot", b"session", mark) == caller
    assert DIGEST not in mark
    for others, key_id, what, shown in (
        (keys, "ci-bot", b"another", mark),
        (keys, "ci-bot", b"session", ""),
        (keys, "ci-bot", b"session", DIGEST),
        (keys, "ci-bot", b"session", "\N{SNOWMAN}"),
        (keys, "stranger", b"session", mark),
        (ApiKeys.parse(replaced), "ci-bot", b"session", mark),
        (ApiKeys(), "ci-bot", b"session", mark),
    ):
        assert others.find_marked(key_id, what, shown) is None


def test_no_mark_is_one_of_an_unknown_key() -> None:
    unknown = ApiKeys({"x": (Caller("x", frozenset()), bytes(32))})
    mark = unknown.mark(unknown.callers["x"][0], b"session")

    assert ApiKeys.parse(ENTRY).find_marked("x", b"session", mark) is None
