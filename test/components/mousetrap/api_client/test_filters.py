"""The filter of dead letters, as a request holds it."""

from dataclasses import fields

import pytest

from mousetrap.api.filters import Discard
from mousetrap.api_client import LetterFilter


@pytest.mark.parametrize(
    ("letters", "params"),
    [
        (LetterFilter(), {}),
        (LetterFilter(all=True), {"all": True}),
        (LetterFilter(queue="q", run=""), {"queue": "q"}),
        (LetterFilter(before_ms=0), {"before_ms": 0}),  # to drop it would select more
        (LetterFilter(ids=("a", "b"), reason="contract"), {"ids": ("a", "b"), "reason": "contract"}),
    ],
)
def test_a_request_has_the_conditions_that_were_given(
    letters: LetterFilter, params: dict[str, object]
) -> None:
    assert letters.params() == params


def test_the_client_knows_every_condition_of_the_api() -> None:
    assert {field.name for field in fields(LetterFilter)} == Discard.model_fields.keys() - {"limit"}
