"""Options are read and checked as a caller writes them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.submit_run import OptionInvalid, StartOptions, check_identity, read_options, run_id_of_key

NOON = datetime(2027, 1, 15, 12, tzinfo=UTC)


def test_spans_are_read_and_become_terms() -> None:
    options = read_options({"delay": timedelta(minutes=1), "expires_in": 90, "tags": ["a"]})

    terms = options.terms(NOON)

    assert (terms.delay_s, terms.expires_in, terms.tags) == (60, 90, ("a",))


def test_the_id_is_that_of_the_key_the_given_one_or_a_new_one() -> None:
    assert read_options({"unique": "k"}).run_id("p", "new") == run_id_of_key("client", "p", "k")
    assert read_options({"id": "mine"}).run_id("p", "new") == "mine"
    assert read_options({"id": None}).run_id("p", "new") == "new"


def test_an_option_that_is_not_known_is_no_silence() -> None:
    with pytest.raises(TypeError, match="submit has no option dealy; it has: at, delay"):
        read_options({"dealy": 60})


@pytest.mark.parametrize(
    ("options", "option", "text"),
    [
        ({"unique": ""}, "unique", "give unique 1 to 255 printable ASCII"),
        ({"unique": "x" * 256}, "unique", "1 to 255"),
        ({"unique": "Größe"}, "unique", "ASCII"),
        ({"unique": "a\n"}, "unique", "printable"),
        ({"unique": 17}, "unique", "printable"),
        ({"id": ""}, "id", "1 to 64 letters"),
        ({"id": "x" * 65}, "id", "1 to 64 letters"),
        ({"id": "a\n"}, "id", "1 to 64 letters"),
        ({"id": "ü"}, "id", "1 to 64 letters"),
        ({"id": "a", "unique": "b"}, "id", "give one"),
        ({"tags": "nightly"}, "tags", "give a list of texts"),
    ],
)
def test_what_is_no_option_is_refused_with_its_name_and_the_fix(
    options: dict[str, Any], option: str, text: str
) -> None:
    with pytest.raises(OptionInvalid, match=text) as refused:
        read_options(options)

    assert refused.value.option == option


def test_options_made_directly_are_checked_too() -> None:
    with pytest.raises(OptionInvalid):
        StartOptions(unique="")


@given(st.text(max_size=300))
def test_a_key_is_what_a_header_can_carry(key: str) -> None:
    try:
        check_identity(None, key)
    except OptionInvalid:
        assert not (1 <= len(key) <= 255 and key.isascii() and key.isprintable())
    else:
        assert 1 <= len(key) <= 255
        assert key.isascii()
        assert key.isprintable()
