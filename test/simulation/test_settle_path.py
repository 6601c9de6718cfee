"""Thousands of stories in which everything goes wrong, on simulated servers and a simulated clock; no promise may break."""

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from simulation.settle_path import SettlePath

#: Stories to tell. With a number of one's own they are new ones each time; else the same each time, so that CI is calm.
_ASKED = os.environ.get("MOUSETRAP_SIMULATION_EXAMPLES")


def test_no_promise_breaks_whatever_goes_wrong() -> None:
    run_state_machine_as_test(
        SettlePath,
        settings=settings(
            max_examples=int(_ASKED or 200),
            stateful_step_count=30,
            derandomize=_ASKED is None,
            database=None,
            deadline=None,
            print_blob=_ASKED is not None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        ),
    )
