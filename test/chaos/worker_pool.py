"""Keeps a number of workers alive, as a supervisor does."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from support.processes import Process
from support.waiting import until

#: Bytes that a worker may have before it is killed for them: three times the usual.
_MOST_MEMORY = 250 * 1024 * 1024
#: Seconds between two looks.
_POLL_S = 0.05


class End(NamedTuple):
    """A worker that is no more."""

    at: float
    pid: int
    code: int


class WorkerPool:
    """Workers, or other processes, that are started again when they end, until the pool is stopped."""

    def __init__(self, start: Callable[[], Process], count: int, *, line: str = "worker is up") -> None:
        self._start = start
        #: What each prints once it takes signals.
        self._line = line
        self._workers = [start() for _ in range(count)]
        self.former: list[Process] = []
        self.ends: list[End] = []
        #: Workers killed for their appetite.
        self.eaters = 0
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="pool")
        self._keeper.start()

    @property
    def all(self) -> list[Process]:
        """Those of now and those before."""
        return [*self.former, *self._workers]

    def up(self) -> list[Process]:
        """Those that run and take signals."""
        return [worker for worker in self._workers if self._is_up(worker)]

    def wait_until_up(self, seconds: float = 60.0) -> None:
        """Returns once all are."""
        until(lambda: len(self.up()) == len(self._workers), "all workers are up", seconds)

    def drain(self) -> list[int]:
        """Asks all to stop and starts none again; their exit codes."""
        self._rest()
        return [worker.terminate(seconds=60) for worker in self._workers]

    def close(self) -> None:
        self._rest()
        for worker in self._workers:
            worker.kill()

    def _rest(self) -> None:
        self._over.set()
        self._keeper.join()

    def _keep(self) -> None:
        while not self._over.wait(_POLL_S):
            for place, worker in enumerate(self._workers):
                if worker.running:
                    self._starve(worker)
                else:
                    self.ends.append(End(time.monotonic(), worker.pid, worker.wait()))
                    worker.kill()
                    self.former.append(worker)
                    self._workers[place] = self._start()

    def _starve(self, worker: Process) -> None:
        if _memory(worker.pid) > _MOST_MEMORY:
            self.eaters += 1
            worker.kill()

    def _is_up(self, worker: Process) -> bool:
        return worker.running and any(self._line in line for line in worker.lines[:20])


def _memory(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0
