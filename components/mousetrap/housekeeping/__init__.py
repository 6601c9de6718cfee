"""Does the periodic duties of a Mousetrap."""

from mousetrap.housekeeping.discard_letters import discard_duty
from mousetrap.housekeeping.duty import Duty, run_duties
from mousetrap.housekeeping.measure_intake import intake_duty
from mousetrap.housekeeping.republish_runs import republish_duty
from mousetrap.housekeeping.sweep_payloads import sweep_duty

__all__ = ["Duty", "discard_duty", "intake_duty", "republish_duty", "run_duties", "sweep_duty"]
