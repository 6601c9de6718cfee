"""Counts what each stage does in every minute of the last day."""

from mousetrap.stage_minutes.counts import Counts, StageCounts
from mousetrap.stage_minutes.minutes import Minutes, Recent

__all__ = ["Counts", "Minutes", "Recent", "StageCounts"]
