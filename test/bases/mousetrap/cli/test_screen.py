"""Shows a run as lines while it happens."""

from io import StringIO

from mousetrap.cli.output import terminal
from mousetrap.cli.progress import StageSeen
from mousetrap.cli.screen import run_screen
from mousetrap.shapes import Event, Progress


def test_children_are_a_line_at_each_tenth_and_other_progress_is_none() -> None:
    out = StringIO()
    stages = (StageSeen(name="find"), StageSeen(name="read", inside="find"))
    with run_screen(terminal(out, width=80), stages) as show:
        show(Event(id="1-0", kind="closed", at_ms=1, stage="find", value={"total": 1000}))
        show(Progress(stage="find", done=3, total=4))
        for done in (0, 5, 99, 100, 150, 320, 1000):
            show(Progress(stage="find", done=done, total=1000, lost=done // 100))
        show(Progress(stage="find", done=7, lost=0))

    assert out.getvalue().splitlines() == [
        "    0.00 s  find        closed: 1,000 children",
        "            read        100 of 1,000, 1 lost",
        "            read        320 of 1,000, 3 lost",
        "            read        1,000 of 1,000, 10 lost",
    ]
