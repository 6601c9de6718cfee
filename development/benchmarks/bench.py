"""Runs contenders on one broker and store, each in its own place."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self
from urllib.parse import urlsplit

import httpx
import pika
from pika.exceptions import AMQPError
from redis import Redis

from benchmarks.contenders import HERE, Contender
from benchmarks.contending import Counts, Tally
from benchmarks.host import ask_broker, describe
from mousetrap.embedded_valkey import EmbeddedValkey
from support.processes import Process, clean_environment
from support.rabbitmq import OwnRabbitMQ, find_own_rabbitmq, virtual_host
from support.valkey import OwnValkey, administrator

#: Seconds that a contender may take to do what it was given.
TIMEOUT_S = 60.0
_POLL_S = 0.005
#: Seconds that a worker has to leave in order.
_LEAVE_S = 2.0
#: Rounds in which variants take part.
EXTRA_ROUNDS = 2


class DoesNotCount(Exception):
    """A round went wrong; the text is its reason, and the table shows it."""


#: What a round may end with; the others go on.
TROUBLE = (DoesNotCount, AssertionError, OSError, httpx.HTTPError, AMQPError)


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measure is given."""

    broker: OwnRabbitMQ
    store: EmbeddedValkey
    folder: Path
    contenders: Sequence[Contender]
    rounds: int
    #: Fewer runs a round: shows that everything works, and gives no figures to keep.
    quick: bool
    #: Whether the C program takes its turns.
    raw: bool
    #: Jobs a second by contender and handler, as trials found them; all measures share them.
    rates: dict[tuple[str, str], float] = field(default_factory=dict)

    def log(self, text: str) -> None:
        """A line of progress."""
        print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)

    def describe(self) -> dict[str, str]:
        """What is worth knowing of where this is measured."""
        return describe(self.broker.url, self.broker.api, self.store.url)

    def turns(self, rounds: int, contenders: Sequence[Contender]) -> Iterator[tuple[int, list[Contender]]]:
        """All of them round by round, each round in another order; variants in the first two alone."""
        for number in range(1, rounds + 1):
            taking_part = [each for each in contenders if not each.extra or number <= EXTRA_ROUNDS]
            start = (number - 1) * 2 % max(1, len(taking_part))
            order = [*taking_part[start:], *taking_part[:start]]
            yield number, order if number % 2 else order[::-1]

    @contextmanager
    def place(self, contender: Contender, **settings: str) -> Iterator["Place"]:
        """A virtual host, a database and a folder for one contender's round; its processes end with it."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(dir=self.folder)))
            broker = stack.enter_context(virtual_host(self.broker))
            store = administrator(self.store.url).rpartition("/")[0] + "/1"
            with Redis.from_url(store) as client:
                client.flushdb()
            given = {
                "BENCH_BROKER": broker,
                "BENCH_STORE": store,
                "BENCH_COUNTS": str(folder),
                **contender.settings,
                **settings,
            }
            yield stack.enter_context(Place(contender, self.broker.api, given, folder))


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

    def until(self, reached: Callable[[Tally], bool]) -> Tally:
        """What the workers have done once that is reached. Raises DoesNotCount when they end or take too long."""
        deadline = time.monotonic() + TIMEOUT_S
        while not reached(tally := self.counts.read()):
            if time.monotonic() > deadline or not all(worker.running for worker in self.workers):
                output = "; ".join(_last_output(worker) for worker in self.workers)
                raise DoesNotCount(f"{tally.last_stage} runs done, and no more: {output}")
            time.sleep(_POLL_S)
        return tally

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
        waiting = {name: count for name, count in self._waiting().items() if count}
        if waiting:
            raise DoesNotCount(f"messages are left: {waiting}")
        if self.contender.reports_left and (left := self.run("left")) != "0":
            raise DoesNotCount(f"{left} runs are not done")

    def _waiting(self) -> dict[str, int]:
        """Messages in each queue of our virtual host; asked of the queues, for the management plugin's numbers are old."""
        broker = self.settings["BENCH_BROKER"]
        queues = ask_broker(broker, self.api, f"/api/queues{urlsplit(broker).path}")
        connection = pika.BlockingConnection(pika.URLParameters(broker))
        try:
            channel = connection.channel()
            return {
                queue["name"]: channel.queue_declare(queue["name"], passive=True).method.message_count
                for queue in queues
            }
        finally:
            connection.close()

    def _start(self, *command: str) -> Process:
        chosen = {name: value for name, value in os.environ.items() if name.startswith("BENCH_")}
        environment = clean_environment(**{**self.settings, **chosen, "PYTHONPATH": str(HERE.parent)})
        return Process([str(self.contender.python), "-m", self.contender.module, *command], environment)


def _last_output(process: Process) -> str:
    """Its last line of output, for the table; the rest is on the terminal."""
    print(process.output[-2000:], file=sys.stderr)
    return process.lines[-1] if process.lines else "no output"


@contextmanager
def open_bench(
    contenders: Sequence[Contender], rounds: int, *, quick: bool = False, raw: bool = False
) -> Iterator[Bench]:
    """Broker and store, until the block ends."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="mousetrap-bench-")))
        (folder / "broker").mkdir()
        broker = find_own_rabbitmq(folder / "broker")
        stack.callback(broker.remove)
        store = stack.enter_context(OwnValkey(folder / "store"))
        yield Bench(broker, store, folder, contenders, rounds, quick, raw)
