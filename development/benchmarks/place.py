"""Runs one contender for a round, and checks that all is done."""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx
import pika
from pika.exceptions import AMQPError

from benchmarks.contenders import Contender
from benchmarks.contending import Counts, Tally
from benchmarks.host import ask_broker
from support.processes import Process, clean_environment

#: Seconds that a contender may take to do what it was given.
TIMEOUT_S = 60.0
_POLL_S = 0.005
_DRAIN_POLL_S = 0.5
#: Seconds that a worker has to leave in order.
_LEAVE_S = 2.0


class DoesNotCount(Exception):
    """A round went wrong; the text is its reason, and the table shows it."""


#: What a round may end with; the others go on.
TROUBLE = (DoesNotCount, AssertionError, OSError, httpx.HTTPError, AMQPError)


@dataclass(slots=True)
class Place:
    """One contender in one round."""

    contender: Contender
    api: str
    settings: Mapping[str, str]
    folder: Path
    workers: list[Process] = field(default_factory=list)
    counts: Counts = field(init=False)

    def __post_init__(self) -> None:
        self.counts = Counts(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.workers:
            worker.kill()
        self.counts.close()

    def run(self, *command: str) -> str:
        """The last line that a command of the contender printed."""
        with self._start(*command) as process:
            try:
                code = process.wait(3 * TIMEOUT_S)
            except AssertionError:
                raise DoesNotCount(f"{' '.join(command)} did not end: {_last_output(process)}") from None
            if code:
                raise DoesNotCount(f"{' '.join(command)} ended with {code}: {_last_output(process)}")
            return process.lines[-1] if process.lines else ""

    def start_worker(self) -> Process:
        """One worker process, which may be a parent and its child."""
        worker = self._start("work")
        self.workers.append(worker)
        return worker

    def until(self, reached: Callable[[Tally], bool], seconds: float = TIMEOUT_S) -> Tally:
        """What the workers have done once that is reached. Raises DoesNotCount when they end or take too long."""
        deadline = time.monotonic() + seconds
        while not reached(tally := self.counts.read()):
            if time.monotonic() > deadline or not all(worker.running for worker in self.workers):
                output = "; ".join(_last_output(worker) for worker in self.workers)
                raise DoesNotCount(f"{tally.last_stage} runs done, and no more: {output}")
            time.sleep(_POLL_S)
        return tally

    def drain(self, seconds: float = TIMEOUT_S) -> None:
        """Waits until no queue holds a message, or that long: what is parked on a delay comes back first."""
        deadline = time.monotonic() + seconds
        while any(self.waiting().values()) and time.monotonic() < deadline:
            time.sleep(_DRAIN_POLL_S)

    def stop_workers(self) -> None:
        """Asks them to end, then ends them: what they have not acknowledged is in the queues again."""
        for worker in self.workers:
            worker.send(signal.SIGTERM)
        for worker in self.workers:
            with suppress(AssertionError):  # some take ten seconds, with nothing left to do
                worker.wait(_LEAVE_S)
            worker.kill()

    def check_nothing_left(self) -> None:
        """Raises DoesNotCount unless every run is done and every message acknowledged."""
        waiting = {name: count for name, count in self.waiting().items() if count}
        if waiting:
            raise DoesNotCount(f"messages are left: {waiting}")
        if self.contender.reports_left and (left := self.run("left")) != "0":
            raise DoesNotCount(f"{left} runs are not done")

    def waiting(self, names: Sequence[str] | None = None) -> dict[str, int]:
        """Messages in each of these queues, or in all of our virtual host.

        Asked of the queues themselves: the management plugin's numbers are old.
        """
        broker = self.settings["BENCH_BROKER"]
        if names is None:
            queues = ask_broker(broker, self.api, f"/api/queues{urlsplit(broker).path}")
            names = [queue["name"] for queue in queues]
        connection = pika.BlockingConnection(pika.URLParameters(broker))
        try:
            channel = connection.channel()
            return {name: channel.queue_declare(name, passive=True).method.message_count for name in names}
        finally:
            connection.close()

    def _start(self, *command: str) -> Process:
        chosen = {name: value for name, value in os.environ.items() if name.startswith("BENCH_")}
        # Installed packages come compiled: to compile our code in each process took 1.2 MiB of it, and its time to start.
        python = {"PYTHONPATH": self.contender.path, "PYTHONDONTWRITEBYTECODE": ""}
        environment = clean_environment(**{**self.settings, **chosen, **python})
        return Process([str(self.contender.python), "-m", self.contender.module, *command], environment)


def _last_output(process: Process) -> str:
    """Its last line of output, for the table; the rest is on the terminal."""
    print(process.output[-2000:], file=sys.stderr)
    return process.lines[-1] if process.lines else "no output"
