"""Judges why a run waits, by facts that its caller has gathered."""

from mousetrap.waiting.facts import Facts, JobAt, LimitAt, LockAt, PlaceAt
from mousetrap.waiting.reasons import judge

__all__ = ["Facts", "JobAt", "LimitAt", "LockAt", "PlaceAt", "judge"]
