"""Thousands of stories in which everything goes wrong, on simulated servers and a simulated clock; no promise may break."""

import faulthandler
import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from simulation.settle_path import Broken, SettlePath
from simulation.shorten import shortened

#: Stories to tell. With a number of one's own they are new ones each time; else the same each time, so that CI is calm.
_ASKED = os.environ.get("MOUSETRAP_SIMULATION_EXAMPLES")


def test_no_promise_breaks_whatever_goes_wrong() -> None:
    # Thousands of stories take minutes; one that hangs is ended by its own clock.
    faulthandler.cancel_dump_traceback_later()
    broken = _first_broken(int(_ASKED or 200))
    if broken is not None:
        pytest.fail(str(shortened(broken)), pytrace=False)


def _first_broken(stories: int) -> Broken | None:
    try:
        run_state_machine_as_test(SettlePath, settings=_settings(stories))
    except Broken as broken:
        return broken
    return None


def _settings(stories: int) -> settings:
    return settings(
        max_examples=stories,
        stateful_step_count=30,
        derandomize=_ASKED is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),  # we shorten stories ourselves, in seconds instead of minutes
    )
