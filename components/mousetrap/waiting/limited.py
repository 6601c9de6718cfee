"""Judges a job that waits for a limit."""

from mousetrap.shapes import LimitHolder, Reason, WaitsFor
from mousetrap.waiting.facts import Facts, LimitAt, PlaceAt
from mousetrap.waiting.words import ago, moment, reason

#: Holders that the sentence names.
_NAMED = 3


def limited(facts: Facts, place: PlaceAt, limit: LimitAt) -> Reason:
    """Which limit it is, who holds it, and how many wait."""
    job, stands = place.job, limit.stands
    of = f" of {stands.of}" if stands.of else ""
    others = f"; {stands.waiting:,} wait in its line" if stands.waiting > 1 else ""
    if limit.every is None:
        text = (
            f"{job.stage} waits for one of {limit.most:,} places{of}{_held(facts, stands.holders)}{others}."
        )
    else:
        when = f", the next at {moment(stands.next_ms)}" if stands.next_ms else ""
        text = (
            f"{job.stage} waits for its turn{of}: {limit.most:,} may begin in a {limit.every}{when}{others}."
        )
    evidence = {
        "stage": job.stage,
        "queue": place.queue_name or None,
        "job": job.id or None,
        "limit": stands.key,
        "of": stands.of,
        "most": limit.most,
        "every": limit.every,
        "running": stands.running,
        "waiting": stands.waiting,
        "next_ms": stands.next_ms,
        "holders": [
            {"run_id": it.run_id, "worker": it.worker, "since_ms": it.since_ms, "until_ms": it.until_ms}
            for it in stands.holders
        ],
    }
    return reason(WaitsFor.LIMIT, text, facts, job.since_ms, evidence, "mousetrap limits")


def _held(facts: Facts, holders: tuple[LimitHolder, ...]) -> str:
    if not holders:
        return ""
    named = ", ".join(
        f"{it.run_id} since {ago(facts, it.since_ms)}" if it.since_ms else f"{it.run_id} (begins now)"
        for it in holders[:_NAMED]
    )
    more = len(holders) - _NAMED
    return f", held by {named}" + (f" and {more} more" if more > 0 else "")
