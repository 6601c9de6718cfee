"""Draws why a run waits: pure."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mousetrap.cli.tables.style import about
from mousetrap.shapes import Reason, Waiting, WaitsFor


def waiting_lines(waiting: Waiting) -> RenderableType:
    """What the run waits for, what it will meet after that, and what to do; where its message is a dead letter, the head has that."""
    lines = Table.grid(padding=(0, 2))
    lines.add_column(min_width=len("pipeline"))  # as the head above it
    lines.add_column()
    reasons = [it for it in (waiting.headline, *waiting.also) if it.kind != WaitsFor.PUT_ASIDE]
    for number, reason in enumerate(reasons):
        lines.add_row(_name(waiting, number), _shown(reason))
    return lines


def waits_at(waiting: Waiting) -> str:
    """The stage whose job waits; empty where what the run waits for is of none. Of children the evidence has the stage that opened them."""
    reasons = (it for it in (waiting.headline, *waiting.also) if it.kind != WaitsFor.CHILDREN)
    return next((str(it.evidence["stage"]) for it in reasons if "stage" in it.evidence), "")


def _name(waiting: Waiting, number: int) -> str:
    if number:
        return "also"
    return "waits" if waiting.waits else "runs"


def _shown(reason: Reason) -> Text:
    text = Text(reason.text, "yellow" if reason.kind not in (WaitsFor.RUNNING, WaitsFor.CHILDREN) else "")
    has_age = reason.age_seconds is not None and reason.kind != WaitsFor.RUNNING
    age = f" (for {about(reason.age_seconds or 0.0)})" if has_age else ""
    text.append(age, "dim")
    return text.append(f"\n{reason.advice}", "bold") if reason.advice else text
