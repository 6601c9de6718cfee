"""Reads how far the children of a job are."""

from typing import Any, NamedTuple

from mousetrap.pipeline import needed
from mousetrap.run_store.damage import is_damage
from mousetrap.run_store.keys import fan_key
from mousetrap.shapes import Fan
from mousetrap.store_client import Command


class FanState(NamedTuple):
    """The children of a job, counted."""

    #: open; closed, once the total is known; fired, once all are decided and their join follows.
    state: str
    opened: int
    #: None while open.
    total: int | None
    done: int
    lost: int
    #: Of those that are lost, how many were not decided when their time was over.
    late: int = 0
    #: How many must be done; None while open.
    needs: int | None = None


def ask_fan(run_id: str, job_id: str) -> Command:
    """Asks for the fan of a job."""
    return (
        "HMGET",
        fan_key(run_id, job_id),
        "state",
        "opened",
        "total",
        "done",
        "lost",
        "late",
        "share",
        "least",
    )


def read_fan(reply: Any) -> FanState | None:
    """The fan in the reply; None where there is none that can be read."""
    if is_damage(reply) or reply[0] is None:
        return None
    state, *counts, share, least = reply
    opened, total, done, lost, late = (_number(each) for each in counts)
    whole = None if total < 0 else total
    needs = None if whole is None else _needed(share, _number(least), whole)
    return FanState(state.decode(errors="replace"), opened, whole, done, lost, max(late, 0), needs)


def shown_fan(job_id: str, stage: str, fan: FanState) -> Fan:
    """The fan of a job at this stage, as readers see it."""
    return Fan(
        job=job_id,
        stage=stage,
        state=fan.state,
        opened=max(fan.opened, 0),
        total=fan.total,
        done=max(fan.done, 0),
        lost=max(fan.lost, 0),
        late=fan.late,
        needs=fan.needs,
    )


def _needed(share: bytes | None, least: int, total: int) -> int | None:
    """How many of so many children must be done, as the store counts them; None where that cannot be read."""
    try:
        return needed(least if least >= 0 else float(share or b""), total)
    except ValueError:
        return None


def _number(raw: bytes | None) -> int:
    try:
        return int(raw or b"-1")
    except ValueError:
        return -1
