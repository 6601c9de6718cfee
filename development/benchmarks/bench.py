"""Runs contenders on one broker and store, each in its own place."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis

from benchmarks.conditions import Condition, Ticks
from benchmarks.contenders import Contender
from benchmarks.host import describe
from benchmarks.place import Place
from mousetrap.embedded_valkey import EmbeddedValkey
from support.rabbitmq import OwnRabbitMQ, find_own_rabbitmq, virtual_host
from support.valkey import OwnValkey, administrator

#: Rounds in which variants take part.
EXTRA_ROUNDS = 2
#: Runs that wait or are kept when growth is measured.
MILLION = 1_000_000


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
    #: Runs that wait or are kept when growth is measured.
    size: int = MILLION
    #: Jobs a second by contender and handler, as trials found them; all measures share them.
    rates: dict[tuple[str, str], float] = field(default_factory=dict)
    #: What the machine did besides, for each round that is over.
    conditions: list[Condition] = field(default_factory=list)

    @property
    def servers(self) -> dict[str, int]:
        """The processes of broker and store, where they are processes of this machine that we may read of."""
        found = {"broker": self.broker.pid, "store": self.store.pid}
        return {name: pid for name, pid in found.items() if pid is not None}

    def log(self, text: str) -> None:
        """A line of progress."""
        print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)

    def describe(self) -> dict[str, str]:
        """What is worth knowing of where this is measured."""
        return describe(self.broker.url, self.broker.api, self.store.url)

    def numbered(self, rounds: int) -> Iterator[int]:
        """The number of each round; what the machine did during it is noted when it is over."""
        for number in range(1, rounds + 1):
            before, began = Ticks.now(), time.monotonic()
            yield number
            self.conditions.append(condition := Condition.since(before, number))
            self.log(f"round {number} took {time.monotonic() - began:.0f} s: {condition}")

    def turns(self, rounds: int, contenders: Sequence[Contender]) -> Iterator[tuple[int, list[Contender]]]:
        """All of them round by round, each round in another order; variants in the first two alone."""
        for number in self.numbered(rounds):
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


@contextmanager
def open_bench(
    contenders: Sequence[Contender],
    rounds: int,
    *,
    quick: bool = False,
    raw: bool = False,
    size: int = MILLION,
) -> Iterator[Bench]:
    """Broker and store, until the block ends."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="mousetrap-bench-")))
        (folder / "broker").mkdir()
        broker = find_own_rabbitmq(folder / "broker")
        stack.callback(broker.remove)
        store = stack.enter_context(OwnValkey(folder / "store"))
        yield Bench(broker, store, folder, contenders, rounds, quick, raw, size)
