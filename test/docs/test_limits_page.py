"""Runs the code on the page about limits."""

import re
from pathlib import Path
from typing import Any

from mousetrap.pipeline import AtMost, Rate

PAGE = (Path(__file__).parents[2] / "docs/limits.md").read_text()


def test_every_block_of_code_runs() -> None:
    names: dict[str, Any] = {"__name__": "limits_page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "docs/limits.md", "exec"), names)  # noqa: S102  our own page

    assert names["charge"].stage.limits == (AtMost(3, per="customer"),)
    assert names["mail"].stage.limits == (AtMost(20, fair="customer"), Rate(50))


def test_every_limit_of_the_table_is_one() -> None:
    written = re.findall(r"^\| `((?:AtMost|Rate)\(.*?\))` \|", PAGE, re.MULTILINE)

    limits = [eval(text, {"AtMost": AtMost, "Rate": Rate}) for text in written]

    assert len(limits) == 5
    assert [it.at_once for it in limits if isinstance(it, Rate)] == [5, 20]
    assert [it.interval_ms for it in limits if isinstance(it, Rate)] == [20.0, 6000.0]
