"""Checks that an impossible lock is refused where it is written."""

import pytest

from mousetrap.pipeline import Lock


def test_an_unknown_treatment_of_a_conflict_is_refused_where_it_is_written() -> None:
    with pytest.raises(
        ValueError, match="on_conflict is 'wat', and must be one of: wait, skip, fail, dead-letter"
    ):
        Lock(name="account", on_conflict="wat")  # type: ignore[arg-type]
