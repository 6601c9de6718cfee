"""Measures how many new runs there is room for."""

from mousetrap.housekeeping.duty import Duty
from mousetrap.submit_run import Intake

EVERY_S = 5.0


def intake_duty(intake: Intake) -> Duty:
    """The duty to count dead letters and the store's free memory, which each new run is checked against."""
    return Duty(EVERY_S, intake.measure)
