"""What a handler says of its progress is refused where it is written, before anyone who reads could fail of it."""

import json
import math
import threading
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.handlers import Context
from mousetrap.shapes import Progress


def context(said: list[Progress]) -> Context[None]:
    return Context(
        deps=None,
        run_id="r",
        job_id="j",
        pipeline="p",
        stage="s",
        attempt=1,
        fence=1,
        deadline=None,
        stopped=threading.Event(),
        report=said.append,
    )


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 10**400, Decimal("NaN"), Decimal("1e999")])
def test_a_number_that_is_not_finite_is_refused_where_it_is_written(number: Any) -> None:
    said: list[Progress] = []

    for arguments in ((number,), (1, number)):
        with pytest.raises(ValueError, match=r"progress: (done|total) is"):
            context(said).progress(*arguments)

    assert said == []


@pytest.mark.parametrize(
    "arguments",
    [(None,), ("1",), (b"1",), ([],), (1j,), (1, "2"), (1, 2, None), (1, 2, 3), (1, 2, b"x")],
)
def test_what_is_no_number_or_no_text_is_refused_where_it_is_written(arguments: Any) -> None:
    said: list[Progress] = []

    with pytest.raises(TypeError, match=r"progress: (done|total|note) is a"):
        context(said).progress(*arguments)

    assert said == []


def test_a_note_that_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(ValueError, match="progress: note cannot be encoded"):
        context([]).progress(1, note="caf\udce9")


numbers = st.integers() | st.floats() | st.decimals() | st.fractions() | st.booleans() | st.none() | st.text()


@given(done=numbers, total=numbers, note=st.text(st.characters(exclude_categories=()), max_size=2_000))
def test_all_progress_can_be_read_again_or_was_refused(done: Any, total: Any, note: str) -> None:
    said: list[Progress] = []
    try:
        context(said).progress(done, total, note)
    except (ValueError, TypeError):
        assert said == []
        return
    [progress] = said
    assert msgspec.json.decode(msgspec.json.encode(progress), type=Progress) == progress
    json.loads(msgspec.json.encode(progress))
    assert progress.done == pytest.approx(float(done))
    assert note.startswith(progress.note)
    assert isinstance(done, int | float | Decimal | Fraction)
