"""How durations are written."""

import pytest

from mousetrap.cli.tables.style import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.00 s"),
        (9.876, "9.88 s"),
        (12.34, "12.3 s"),
        (200.0, "3 min 20 s"),
        (7_500.0, "2 h 5 min"),
    ],
)
def test_a_duration_is_as_exact_as_it_is_short(seconds: float, words: str) -> None:
    assert duration(seconds) == words
