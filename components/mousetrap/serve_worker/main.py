"""A worker's command line."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from functools import partial

from mousetrap.handlers import Binding
from mousetrap.pipeline import Pipeline
from mousetrap.serve_worker.serve import Binder, Connect, Groups, serve_worker
from mousetrap.settings import Settings, local_environment
from mousetrap.shutdown import ExitCode
from mousetrap.telemetry import printable
from mousetrap.worker_flags import AUTO_KILL, BURST, CONCURRENCY, PREFETCH, WorkerFlags

_NOTE = """Settings come from MOUSETRAP_… variables, as MOUSETRAP_BROKER_URL and MOUSETRAP_STORE_URL.
Exit codes:
   0  all that was begun is finished
   2  a setting is wrong
  70  the watchdog ended it: the event loop was blocked, or a handler did not stop; start it again
  75  some was handed back for another worker, or it had not ended in its grace; another one goes on with it
   1  a defect, or a handler that stopped the whole interpreter; start it again"""


def worker_main(
    connect: Connect,
    binders: Sequence[Binder],
    name: str,
    description: str,
    groups: Groups = (),
    pipelines: Iterable[Pipeline] = (),
) -> int:
    """Serves with the arguments of the program `name`. Returns the exit code. `groups` and `pipelines` as `serve_worker`."""
    parser = argparse.ArgumentParser(
        prog=name, description=description, epilog=_NOTE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for flag, field in ((CONCURRENCY, "concurrency"), (PREFETCH, "prefetch"), (AUTO_KILL, "auto_kill")):
        parser.add_argument(flag.option, dest=field, type=flag.type, metavar=flag.metavar, help=flag.help)
    parser.add_argument(BURST.option, dest="burst", action="store_true", help=BURST.help)
    flags = WorkerFlags(**vars(parser.parse_args()))
    environ = local_environment(os.environ, lambda line: print(printable(line), file=sys.stderr))
    return serve_worker(connect, binders, environ, flags, groups=groups, pipelines=pipelines)


def tasks_main(
    connect: Connect,
    modules: Sequence[str],
    name: str,
    description: str,
    groups: Groups = (),
    pipelines: Iterable[Pipeline] = (),
) -> int:
    """Serves all tasks and chains of these modules with the arguments of the program `name`. Returns the exit code.

    It is that of wrong settings where a module cannot be imported, or has no task.
    """
    from mousetrap.discovery import discover  # for workers of tasks alone

    discovered = discover(modules)
    for failure in discovered.failures:
        print(printable(f"{name}: not loaded: {failure}"), file=sys.stderr)
    if discovered.failures or not discovered.bindings:
        print(
            printable(f"{name}: not started, for {', '.join(modules)} is not served whole"), file=sys.stderr
        )
        return ExitCode.SETTINGS_WRONG
    binders = [partial(_bound, it) for it in discovered.bindings]
    return worker_main(connect, binders, name, description, groups, pipelines)


def _bound(binding: Binding, _: Settings) -> Binding:
    return binding
