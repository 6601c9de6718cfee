"""Makes ids of runs, from the clock and from chance."""

import os
import time

from mousetrap.submit_run import new_run_id


def new_id() -> str:
    """An id that no run has."""
    return new_run_id(int(time.time() * 1000), os.urandom(10))
