"""Words for times, and reasons with their ages."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mousetrap.shapes import Reason, WaitsFor
from mousetrap.waiting.facts import Facts

#: The end of the year 9999.
_END_MS = 253_402_300_800_000


def reason(
    kind: WaitsFor,
    text: str,
    facts: Facts,
    since_ms: int | None,
    evidence: Mapping[str, Any],
    advice: str = "",
) -> Reason:
    """A reason with its age at the time of the facts."""
    age = None if not since_ms else max(0.0, (facts.now_ms - since_ms) / 1000)
    return Reason(
        kind=kind, text=text, since_ms=since_ms or None, age_seconds=age, evidence=evidence, advice=advice
    )


def ago(facts: Facts, at_ms: int | None) -> str:
    """How long before the time of the facts."""
    return span(max(0.0, (facts.now_ms - (at_ms or facts.now_ms)) / 1000))


def span(seconds: float) -> str:
    """`4.2 s`, `41 s`, `12 min`, `3 h`, `5 days`."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def moment(at_ms: int | None) -> str:
    """In UTC, to the second; anything can be in the store, so of no time that a calendar has, the number."""
    if at_ms is not None and not 0 <= at_ms < _END_MS:
        return f"{at_ms} ms"
    return f"{datetime.fromtimestamp((at_ms or 0) / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
