"""Runs a contender's process and counts its jobs in shared memory."""

import mmap
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

#: A process's numbers, of eight bytes each: jobs done at the first stage and at the last, and when the first and the newest job
#: began, on CLOCK_MONOTONIC.
_BEGAN, _NEWEST = 2, 3
_SLOT_BYTES = 32

FIRST, LAST = 0, 1


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of a contender; BENCH_… variables hold it, and win over a contender's own settings."""

    #: amqp://…, a virtual host for this contender alone.
    broker: str
    #: valkey://…, a database for this contender alone.
    store: str
    counts: Path
    #: "async" and "sync" do nothing, "sleep" waits 10 ms on the event loop (in a thread where there is none).
    handler: str
    #: Characters of the payload.
    size: int

    @property
    def payload(self) -> str:
        return "x" * self.size


def order() -> Order:
    """What this process is asked for."""
    env = os.environ
    return Order(
        broker=env["BENCH_BROKER"],
        store=env["BENCH_STORE"],
        counts=Path(env["BENCH_COUNTS"]),
        handler=env.get("BENCH_HANDLER", "async"),
        size=int(env.get("BENCH_SIZE", "10")),
    )


def number(name: str, otherwise: int) -> int:
    """A setting that `BENCH_<NAME>` may replace, to try another."""
    return int(os.environ.get(f"BENCH_{name}", otherwise))


def word(name: str, otherwise: str) -> str:
    """The same for a word."""
    return os.environ.get(f"BENCH_{name}", otherwise)


class Counter:
    """Counts this process's jobs in a file that the driver reads; the file is made with the first job, so after any fork."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()  # handlers may run in threads
        self._done = [0, 0]
        self._began = 0
        self._slot: memoryview | None = None

    def tick(self, stage: int, jobs: int = 1) -> None:
        """So many jobs of that stage are being done."""
        now = time.monotonic_ns()
        with self._lock:
            if self._slot is None:
                self._slot = _make_slot(self._folder / str(os.getpid()))
                self._began = now
            self._done[stage] += jobs
            # One by one, times first: a reader that sees a job has its time. `struct.pack_into` would zero the slot before.
            self._slot[_NEWEST] = now
            self._slot[_BEGAN] = self._began
            self._slot[FIRST], self._slot[LAST] = self._done


def _make_slot(path: Path) -> memoryview:
    part = path.with_suffix(".part")
    part.write_bytes(bytes(_SLOT_BYTES))
    with part.open("r+b") as file:
        slot = memoryview(mmap.mmap(file.fileno(), _SLOT_BYTES)).cast("q")
    part.rename(path)  # so that no reader finds it empty
    return slot


@dataclass(frozen=True, slots=True)
class Tally:
    """What all processes of a contender have done so far; times in nanoseconds on CLOCK_MONOTONIC."""

    processes: int
    first_stage: int
    last_stage: int
    #: When each process began its first job.
    began: tuple[int, ...]
    newest: int


class Counts:
    """Reads the counters in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._slots: dict[str, memoryview] = {}

    def read(self) -> Tally:
        """The current count."""
        for name in os.listdir(self._folder):  # noqa: PTH208  hundreds of times a second
            if name not in self._slots and not name.endswith(".part"):
                with (self._folder / name).open("rb") as file:
                    slot = mmap.mmap(file.fileno(), _SLOT_BYTES, access=mmap.ACCESS_READ)
                self._slots[name] = memoryview(slot).cast("q")
        slots = [slot.tolist() for slot in self._slots.values()]
        begun = [slot for slot in slots if slot[_BEGAN]]
        return Tally(
            processes=len(begun),
            first_stage=sum(slot[FIRST] for slot in begun),
            last_stage=sum(slot[LAST] for slot in begun),
            began=tuple(slot[_BEGAN] for slot in begun),
            newest=max((slot[_NEWEST] for slot in begun), default=0),
        )

    def close(self) -> None:
        """Lets the files go."""
        self._slots.clear()
