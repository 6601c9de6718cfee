"""Runs a worker with traps at the points of the settle path.

`python -m chaos.worker FOLDER BROKER_URL STORE_URL`. SIGTERM drains it; SIGUSR1 sets the trap that FOLDER/trap.<pid> describes,
SIGUSR2 shows every thread's stack.
"""

import asyncio
import faulthandler
import os
import secrets
import signal
import sys
from pathlib import Path

import uvloop

from chaos.calls import Calls
from chaos.control import open_control
from chaos.handlers import bindings
from chaos.pointed import PointedQueue, PointedStore
from chaos.points import Trap
from chaos.skew import set_wrong
from chaos.tools import Tools
from chaos.workload import PAYLOADS, QUEUES, SIGNING_KEYS, SPARE_S, WINDOW
from mousetrap.job_queue import QueueOptions, connect
from mousetrap.run_store import open_store
from mousetrap.serve_worker.orders import OrdersFollower
from mousetrap.signing import Keyring
from mousetrap.telemetry import log_to_stderr
from mousetrap.worker import Pauses, Stop, WorkerOptions, endings, fan_out, run_worker

#: Seconds. Short, so that a schedule of faults reaches the ends of leases and timeouts.
LEASE, CONFIRM, GRACE, RETENTION = 3.0, 5.0, 8.0, 7200.0


def main() -> int:
    folder, broker_url, store_url = sys.argv[1:4]
    log_to_stderr("INFO", "text")
    faulthandler.register(signal.SIGUSR2)  # for people who wonder where a worker stands still
    return 0 if uvloop.run(work(Path(folder), broker_url, store_url)) else 75


async def work(folder: Path, broker_url: str, store_url: str) -> bool:
    """Works until asked to stop; whether all that was begun is finished."""
    stop, loop = Stop(), asyncio.get_running_loop()
    fan_out.WINDOW, endings.SPARE_MIN_S = WINDOW, SPARE_S
    trap = Trap(folder / f"trap.{os.getpid()}", broker_url)
    loop.add_signal_handler(signal.SIGTERM, stop.ask)
    loop.add_signal_handler(signal.SIGUSR1, trap.set)
    name = f"w-{os.getpid()}-{secrets.token_hex(2)}"
    options = WorkerOptions(name=name, lease=LEASE, grace=GRACE, keyring=Keyring.parse(SIGNING_KEYS))
    async with (
        connect(broker_url, QUEUES, name=name, options=QueueOptions(confirm_deadline=CONFIRM)) as queue,
        open_store(
            store_url, retention=RETENTION, keyring=Keyring.parse(SIGNING_KEYS), payloads=PAYLOADS
        ) as inner,
        open_control(store_url) as control,
    ):
        tools = Tools.of(folder, worker=name, trap=trap)
        calls = Calls(folder / "calls.jsonl", name)
        store = PointedStore(inner, trap, tools.ledger, calls, tools.asked)
        print("worker is up", flush=True)
        pauses = Pauses(known=False)
        following = asyncio.ensure_future(OrdersFollower(control, name, QUEUES, pauses, stop).follow())
        try:
            return await run_worker(
                PointedQueue(queue, trap),
                store,
                bindings(tools, folder, limits="," not in store_url),
                options,
                stop,
                None,
                pauses,
            )
        finally:
            following.cancel()


if __name__ == "__main__":
    set_wrong(os.environ)
    sys.exit(main())
