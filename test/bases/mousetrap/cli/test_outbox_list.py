"""Draws rows that were set aside, in 80 columns."""

from datetime import UTC, datetime

from rich.console import Console

from mousetrap.cli.tables.outbox import set_aside_list
from mousetrap.outbox import SetAside

_ERROR = "the input does not fit: at $.items[3].price: expected float, got str; correct the row's input, then retry it"


def test_each_error_is_whole_below_its_row() -> None:
    row = SetAside(
        id=12,
        key="customer-17",
        run_id="r" * 32,
        pipeline="ship",
        input="{}",
        error=_ERROR,
        created_ms=0,
        set_aside_ms=1_800_014_400_000,
        blocks=3,
    )
    console = Console(width=80, record=True, force_terminal=False)

    console.print(set_aside_list([row], datetime.fromtimestamp(1_800_014_460, UTC)))

    first, *rest = console.export_text().splitlines()
    assert first.startswith("row 12  ship  ") and first.endswith("key customer-17, blocks 3")
    assert " ".join(" ".join(rest).split()) == _ERROR
    assert all(line.startswith("    ") and len(line) <= 80 for line in rest)
