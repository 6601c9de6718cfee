"""A worker's command line: its options, and the settings that the environment holds."""

import argparse
import os
import sys
from collections.abc import Sequence

from mousetrap.serve_worker.serve import Binder, Connect, Groups, serve_worker
from mousetrap.settings import local_environment
from mousetrap.telemetry import printable

_NOTE = """Settings come from MOUSETRAP_… variables, as MOUSETRAP_BROKER_URL and MOUSETRAP_STORE_URL.
Exit codes:
   0  all that was begun is finished
   2  a setting is wrong
  70  the watchdog ended it: the event loop stood still, or a handler did not stop; start it again
  75  some was handed back for another worker, or it had not ended in its grace; another one goes on with it
   1  a defect, or a handler that stopped the whole interpreter; start it again"""


def worker_main(
    connect: Connect, binders: Sequence[Binder], name: str, description: str, groups: Groups = ()
) -> int:
    """Serves as the arguments of the program `name` say. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog=name, description=description, epilog=_NOTE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concurrency", type=int, metavar="N", help="jobs that run at once (10)")
    parser.add_argument("--prefetch", type=int, metavar="N", help="jobs taken ahead (twice the concurrency)")
    parser.add_argument(
        "--auto-kill-timeout",
        type=float,
        metavar="SECONDS",
        help="how long the event loop may stand still, or a handler go on that was asked to stop (60)",
    )
    parser.add_argument("--burst", action="store_true", help="end when the queues are empty")
    chosen = parser.parse_args()
    return serve_worker(
        connect,
        binders,
        local_environment(os.environ, lambda line: print(printable(line), file=sys.stderr)),
        concurrency=chosen.concurrency,
        prefetch=chosen.prefetch,
        auto_kill=chosen.auto_kill_timeout,
        burst=chosen.burst,
        groups=groups,
    )
