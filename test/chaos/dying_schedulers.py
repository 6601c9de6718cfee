"""Runs pairs of schedulers that are killed, and two that are not.

`python -m chaos.dying_schedulers FOLDER BROKER_URL STORE_URL POINT…`. For each POINT two schedulers look beside each other, and each is
killed when it passes it; then two go on until SIGTERM.
"""

import asyncio
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

from chaos.forks import forked, set_trap, show_ends, until_stopped
from chaos.outbox_points import PointedPublisher, PointedStore
from chaos.schedule_points import PointedSchedules
from mousetrap.job_queue import connect
from mousetrap.jobs import MousetrapError
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.run_store import open_store
from mousetrap.scheduler import Scheduler, open_schedules
from mousetrap.signing import Keyring
from mousetrap.submit_run import Submitter

#: That of the workers of a Workbench, which do the runs.
KEYRING = Keyring.parse("test:a-secret-for-the-tests")
PIPELINE = Pipeline(
    name="ticking",
    description="Takes a number.",
    stages=(Stage(name="take", queue="ticking", input=int, output=int),),
)
_LOOK_S = 0.05


class _Open:
    def check(self, pipeline: Pipeline, size: int) -> None:
        """Takes any number of runs."""


async def fire(folder: Path, broker_url: str, store_url: str, trap_set: str) -> None:
    """Looks at what is due until SIGTERM, or until it springs its trap."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    trap = set_trap(folder, broker_url, trap_set)
    async with (
        connect(broker_url, ["ticking"], name="scheduler") as queue,
        open_store(store_url, retention=3600, keyring=KEYRING) as store,
        open_schedules(store_url, keyring=KEYRING) as schedules,
    ):
        pointed, pipelines = PointedStore(store, trap), {PIPELINE.name: PIPELINE}
        submitter = Submitter(pointed, PointedPublisher(queue, trap), KEYRING, pipelines)
        kept = PointedSchedules(schedules, trap)
        scheduler = Scheduler(kept, pointed, submitter, pipelines, intake=_Open(), defaults={})
        while not stop.is_set():
            with suppress(MousetrapError):
                await scheduler.look()
            await asyncio.sleep(_LOOK_S)


def main() -> int:
    folder, broker_url, store_url, *points = sys.argv[1:]
    act = partial(fire, Path(folder), broker_url, store_url)
    for point in points:
        show_ends(point, [forked(partial(act, f"{point} kill 1")) for _ in range(2)])
    return until_stopped([forked(partial(act, "")) for _ in range(2)], "two schedulers are up")


if __name__ == "__main__":
    sys.exit(main())
