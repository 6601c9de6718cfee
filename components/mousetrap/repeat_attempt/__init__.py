"""Makes an attempt again by hand, without queue and store."""

from mousetrap.repeat_attempt.apart import repeat_apart
from mousetrap.repeat_attempt.at_hand import HELP, at_hand
from mousetrap.repeat_attempt.attempter import FROM_LIFESPAN, Attempter, Ended, loop_runs
from mousetrap.repeat_attempt.case import Case, NotRepeatable, case_of_letter
from mousetrap.repeat_attempt.dead_test import DeadTest, dead_test
from mousetrap.repeat_attempt.fixture import Fixture, fixture_of_binder, fixture_of_name
from mousetrap.repeat_attempt.notebook import notebook
from mousetrap.repeat_attempt.repeat import as_json, repeat
from mousetrap.repeat_attempt.threads import Threads

__all__ = [
    "FROM_LIFESPAN",
    "HELP",
    "Attempter",
    "Case",
    "DeadTest",
    "Ended",
    "Fixture",
    "NotRepeatable",
    "Threads",
    "as_json",
    "at_hand",
    "case_of_letter",
    "dead_test",
    "fixture_of_binder",
    "fixture_of_name",
    "loop_runs",
    "notebook",
    "repeat",
    "repeat_apart",
]
