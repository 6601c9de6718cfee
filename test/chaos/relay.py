"""Runs relays that are killed, and two that are not.

`python -m chaos.relay FOLDER BROKER_URL STORE_URL DATABASE_URL POINT:COUNT…`. For each POINT a relay is killed when it passes it
for the COUNTth time; then two relay at once until SIGTERM. They are forks of this process, which saves them their imports.
"""

import asyncio
import signal
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

from chaos.forks import forked, set_trap, show_ends, until_stopped
from chaos.outbox_points import PointedPublisher, PointedRows, PointedStore
from mousetrap.job_queue import connect
from mousetrap.outbox import DEFAULT_TABLE, Entry, Relay, Rows, open_engine
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.run_store import open_store
from mousetrap.signing import Keyring
from mousetrap.submit_run import Submitter

#: That of the workers of a Workbench, which do the runs.
KEYRING = Keyring.parse("test:a-secret-for-the-tests")
PIPELINE = Pipeline(
    name="relayed",
    description="Takes a number.",
    stages=(Stage(name="take", queue="relayed", input=int, output=int),),
)


async def relay(folder: Path, servers: list[str], trap_set: str) -> None:
    """Relays until SIGTERM, or until it springs its trap."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    broker_url, store_url, database_url = servers
    trap = set_trap(folder, broker_url, trap_set)
    async with (
        connect(broker_url, ["relayed"], name="relay") as queue,
        open_store(store_url, retention=3600, keyring=KEYRING) as store,
    ):
        pointed = PointedStore(store, trap), PointedPublisher(queue, trap)
        submitter = Submitter(*pointed, KEYRING, {PIPELINE.name: PIPELINE})

        async def submit(entry: Entry) -> None:
            options = entry.options(int(time.time() * 1000))
            await submitter.submit(PIPELINE, entry.input, run_id=entry.run_id, options=options)

        with open_engine(database_url) as engine, closing(Rows(engine, DEFAULT_TABLE)) as rows:
            await Relay(PointedRows(rows, engine, trap), submit).run(stop)


def main() -> int:
    folder, servers = Path(sys.argv[1]), sys.argv[2:5]
    for point, _, count in (each.partition(":") for each in sys.argv[5:]):
        show_ends(point, [forked(partial(relay, folder, servers, f"{point} kill {count}"))])
    return until_stopped([forked(partial(relay, folder, servers, "")) for _ in range(2)], "two relays are up")


if __name__ == "__main__":
    sys.exit(main())
