"""What the suite's runs are: a pipeline for each kind, how it must end, and a seeded mix of them."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from mousetrap.pipeline import Pipeline, Stage
from mousetrap.retry import RetryPolicy

#: Must never be seen in a log: it travels in every payload, and another one signs every message.
PAYLOAD_CANARY = "canary-in-a-payload-7d1f"
SIGNING_CANARY = "canary-that-signs-93c2a4"
SIGNING_KEYS = f"chaos:{SIGNING_CANARY}"


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What travels: each stage adds one to `done`."""

    order: int
    kind: str
    #: Seconds that a handler takes, or that it asks to be left alone for.
    seconds: float = 0.0
    done: int = 0
    secret: str = PAYLOAD_CANARY

    def next(self) -> "Work":
        return msgspec.structs.replace(self, done=self.done + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A sort of run."""

    pipeline: Pipeline
    #: The states that one may end in.
    ends: frozenset[str] = frozenset({"completed"})
    #: The reason on the dead letter of one that fails.
    reason: str = ""
    #: Attempts and workers that one may cost, at most; None where faults alone decide.
    begins: int | None = None
    #: How many of a hundred runs are of this kind; 0 for those that are faults themselves.
    share: float = 0.0
    #: The range of `Work.seconds`.
    seconds: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A run that is to be submitted."""

    run: str
    kind: str
    work: Work


def _kind(name: str, stages: int = 1, *, policy: RetryPolicy | None = None, **more: Any) -> Kind:
    retry = policy or RetryPolicy(attempts=20, base=0.05, cap=0.4)
    chain = tuple(
        Stage(name=f"step{n}", queue=f"{name}_{n}", input=Work, output=Work, retry=retry)
        for n in range(1, stages + 1)
    )
    return Kind(pipeline=Pipeline(name=name, description=f"Runs of the kind {name}.", stages=chain), **more)


_THREE_TRIES = RetryPolicy(attempts=3, base=0.05, cap=0.2)

KINDS: Mapping[str, Kind] = {
    "plain": _kind("plain", share=34),
    "chained": _kind("chained", 3, share=20),
    "flaky": _kind("flaky", 2, share=18),
    "slow": _kind("slow", share=12, seconds=(0.2, 2.5)),
    "delayed": _kind("delayed", share=12, seconds=(0.2, 4.0)),
    "poison": _kind(
        "poison",
        policy=_THREE_TRIES,
        share=4,
        ends=frozenset({"failed"}),
        reason="max-retries",
    ),
    # From here on: runs that are faults.
    "killer": _kind("killer", ends=frozenset({"failed"}), reason="crash-loop", begins=5),
    # Its queue is deleted under it.
    "doomed": _kind("doomed", seconds=(0.5, 1.5)),
    # Longer than a lease, shorter than the five seconds after which the embedded queue takes a silent process for dead.
    "blocker": _kind("blocker", seconds=(3.3, 4.3)),
}

QUEUES = sorted(stage.queue for kind in KINDS.values() for stage in kind.pipeline.stages)


def orders(seed: int) -> Iterator[Order]:
    """Runs without end; the same seed gives the same ones, by the same names."""
    chance = random.Random(f"orders of {seed}")
    names = [name for name, kind in KINDS.items() if kind.share]
    shares = [KINDS[name].share for name in names]
    number = 0
    while True:
        number += 1
        yield order(chance.choices(names, shares)[0], number, chance, mark=f"s{seed}")


def order(kind: str, number: int, chance: random.Random, *, mark: str) -> Order:
    """One run of a kind."""
    seconds = round(chance.uniform(*KINDS[kind].seconds), 3)
    return Order(
        run=f"{mark}-{number:06d}-{kind}", kind=kind, work=Work(order=number, kind=kind, seconds=seconds)
    )
