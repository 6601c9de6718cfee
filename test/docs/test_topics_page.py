"""Runs the code of the page on topics, on both queues."""

import asyncio
import re
from pathlib import Path

import pytest

_PAGE = Path(__file__).parents[2] / "docs/topics.md"

pytestmark = pytest.mark.servers


async def test_every_block_of_code_runs(queue_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOUSETRAP_BROKER_URL", queue_url)
    # Five times the page's waits: a busy broker takes more than a second for a first claim.
    text = re.sub(r"\bwait=(\d+)", lambda it: f"wait={5 * int(it[1])}", _PAGE.read_text())
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))

    def run() -> None:
        names: dict[str, object] = {}
        for block in blocks:
            line = text.count("\n", 0, block.start(1))
            exec(compile("\n" * line + block[1], str(_PAGE), "exec"), names)  # noqa: S102  the code of our own page

    assert len(blocks) == 3
    await asyncio.to_thread(run)  # the page has a loop of its own
