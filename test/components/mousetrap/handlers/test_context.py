"""Progress reports are checked where the handler makes them."""

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


def context(reports: list[Progress]) -> Context[None]:
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
        report=reports.append,
    )


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 10**400, Decimal("NaN"), Decimal("1e999")])
def test_a_number_that_is_not_finite_is_refused_where_it_is_written(number: Any) -> None:
    reports: list[Progress] = []

    for arguments in ((number,), (1, number)):
        with pytest.raises(ValueError, match=r"progress: (done|total) is"):
            context(reports).progress(*arguments)

    assert reports == []


@pytest.mark.parametrize(
    "arguments",
    [(None,), ("1",), (b"1",), ([],), (1j,), (1, "2"), (1, 2, None), (1, 2, 3), (1, 2, b"x")],
)
def test_what_is_no_number_or_no_text_is_refused_where_it_is_written(arguments: Any) -> None:
    reports: list[Progress] = []

    with pytest.raises(TypeError, match=r"progress: (done|total|note) is a"):
        context(reports).progress(*arguments)

    assert reports == []


def test_a_note_that_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(ValueError, match="progress: note cannot be encoded"):
        context([]).progress(1, note="caf\udce9")


numbers = st.integers() | st.floats() | st.decimals() | st.fractions() | st.booleans() | st.none() | st.text()


@given(done=numbers, total=numbers, note=st.text(st.characters(exclude_categories=()), max_size=2_000))
def test_all_progress_can_be_read_again_or_was_refused(done: Any, total: Any, note: str) -> None:
    reports: list[Progress] = []
    try:
        context(reports).progress(done, total, note)
    except (ValueError, TypeError):
        assert reports == []
        return
    [progress] = reports
    assert msgspec.json.decode(msgspec.json.encode(progress), type=Progress) == progress
    json.loads(msgspec.json.encode(progress))
    assert progress.done == pytest.approx(float(done))
    assert note.startswith(progress.note)
    assert isinstance(done, int | float | Decimal | Fraction)
