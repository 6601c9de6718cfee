"""Defines the suite's runs: a pipeline for each kind, and their end."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from mousetrap.payloads import PayloadOptions
from mousetrap.pipeline import All, AtMost, Each, Gathered, Lock, Many, Pipeline, Stage
from mousetrap.retry import RetryPolicy

#: Must never be seen in a log: it travels in every payload, and another one signs every message.
PAYLOAD_CANARY = "canary-in-a-payload-7d1f"
SIGNING_CANARY = "canary-that-signs-93c2a4"
#: Payloads of the kind "large" go by reference, and have so many characters of text. Cheaper than 64 KiB, and the same way.
PAYLOADS = PayloadOptions(inline=4_096)
TEXT_SIZE = 10_000
SIGNING_KEYS = f"chaos:{SIGNING_CANARY}"
#: Runs that a caller of the short form submits a second. The long form has more: each costs processor time of all servers, and
#: what a fault meets, jobs in every state, it meets at a few a second too.
RATE = 6.0
#: Of each so many children one is given up, and one is delivered twice more.
POISON, REPEATED = 33, 100
#: Characters of a child's output, and children that a worker opens at once: by default 500, which are few windows.
OUTPUT_SIZE, WINDOW = 1_000, 100
#: Seconds until the message of a job that stands in a line comes again, at least: by default a minute, for which each rest would wait.
SPARE_S = 6.0


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What travels: each stage adds one to `done`."""

    order: int
    kind: str
    #: Seconds that a handler takes, or that it asks to be left alone for.
    seconds: float = 0.0
    done: int = 0
    #: Which lock the locked ones need.
    key: str = ""
    #: By which of these the limited ones are served in turn.
    lane: str = ""
    secret: str = PAYLOAD_CANARY
    #: Makes a payload large.
    text: str = ""
    #: How many children the first stage opens; and which of them this is.
    children: int = 0
    index: int = -1
    #: What a join has been given: how many children, how many done, lost, and how many outputs in their order.
    counts: tuple[int, ...] = ()

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
    #: The range of seconds after which the caller calls a run off; None for never.
    called_off: tuple[float, float] | None = None
    #: The range of seconds after which no job of a run may begin; None without an end.
    expires: tuple[float, float] | None = None
    #: The range of seconds before which no job of a run may begin.
    later: tuple[float, float] = (0.0, 0.0)
    #: Whether its handlers run in processes of their own.
    isolated: bool = False
    #: How many children its first stage opens; its second one is theirs, and its third one joins them.
    children: int = 0

    @property
    def lost(self) -> int:
        """How many of the children are given up."""
        return len(range(0, self.children, POISON))


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A run that is to be submitted."""

    run: str
    kind: str
    work: Work
    called_off: float | None = None
    expires: float | None = None
    later: float = 0.0


def _kind(
    name: str,
    stages: int = 1,
    *,
    policy: RetryPolicy | None = None,
    lock: Lock | None = None,
    limit: AtMost | None = None,
    **more: Any,
) -> Kind:
    retry = policy or RetryPolicy(attempts=None, base=0.05, cap=0.4)
    chain = tuple(
        Stage(
            name=f"step{n}", queue=f"{name}_{n}", input=Work, output=Work, retry=retry, lock=lock, limit=limit
        )
        for n in range(1, stages + 1)
    )
    return Kind(pipeline=Pipeline(name=name, description=f"Runs of the kind {name}.", stages=chain), **more)


_CALLED_OFF = frozenset({"completed", "cancelled"})
_THREE_TRIES = RetryPolicy(attempts=3, base=0.05, cap=0.2)


def _fan_kind(name: str, children: int, **more: Any) -> Kind:
    """Finds, reads each, and sums up where 95 % were read."""

    def stage(number: int, called: str, takes: Any, gives: Any, **how: Any) -> Stage:
        queue = f"{name}_{number}"
        return Stage(name=called, queue=queue, input=takes, output=gives, retry=_THREE_TRIES, **how)

    stages = (
        stage(1, "find", Work, Many[Work]),
        stage(2, "read", Work, Work, after=Each("find")),
        stage(3, "sum", Gathered[Work], Work, after=All("read", need=0.95)),
    )
    pipeline = Pipeline(name=name, description=f"Runs of the kind {name}.", stages=stages)
    return Kind(pipeline=pipeline, children=children, reason="max-retries", **more)


KINDS: Mapping[str, Kind] = {
    "plain": _kind("plain", share=28),
    "chained": _kind("chained", 3, share=18),
    "flaky": _kind("flaky", 2, share=14),
    "slow": _kind("slow", share=9, seconds=(0.2, 2.5)),
    "delayed": _kind("delayed", share=9, seconds=(0.2, 4.0)),
    "poison": _kind(
        "poison",
        policy=_THREE_TRIES,
        share=2,
        ends=frozenset({"failed"}),
        reason="max-retries",
    ),
    "queued_off": _kind("queued_off", share=2, ends=_CALLED_OFF, called_off=(0.0, 0.02)),
    "running_off": _kind("running_off", share=2, seconds=(2.0, 4.0), ends=_CALLED_OFF, called_off=(0.3, 1.5)),
    "delayed_off": _kind("delayed_off", share=2, seconds=(4.0, 6.0), ends=_CALLED_OFF, called_off=(0.5, 3.0)),
    "expiring": _kind(
        "expiring",
        2,
        share=4,
        seconds=(0.2, 2.0),
        ends=frozenset({"completed", "expired"}),
        expires=(0.5, 3.0),
    ),
    "later": _kind("later", 2, share=6, later=(0.2, 4.0)),
    "large": _kind("large", 2, share=6),
    "locked": _kind("locked", share=6, seconds=(0.02, 0.2), lock=Lock(name="chaos", by="key")),
    # So many come, and take so long, that some wait at all times.
    "limited": _kind("limited", share=6, seconds=(0.5, 2.0), limit=AtMost(2, fair="lane")),
    "isolated": _kind("isolated", share=4, seconds=(0.0, 0.3), isolated=True),
    # From here on: runs that are faults.
    "killer": _kind("killer", ends=frozenset({"failed"}), reason="crash-loop", begins=5),
    "eater": _kind("eater", ends=frozenset({"failed"}), reason="crash-loop", begins=5),
    # Ends its own process each time, which is not the worker's.
    "isolated_killer": _kind(
        "isolated_killer",
        policy=_THREE_TRIES,
        isolated=True,
        ends=frozenset({"failed"}),
        reason="max-retries",
    ),
    # Its queue is deleted under it.
    "doomed": _kind("doomed", seconds=(0.5, 1.5)),
    # Longer than a lease, shorter than the five seconds after which the embedded queue takes a silent process for dead.
    "blocker": _kind("blocker", seconds=(3.3, 4.3)),
    # Started by schedules, whose ticks are a second apart.
    "ticked": _kind("ticked"),
    # From here on: runs of the chapters about fan-outs.
    "fan": _fan_kind("fan", 300),
    "large_fan": _fan_kind("large_fan", 10_000),
    # Called off when half of its children are done.
    "fan_off": _fan_kind("fan_off", 400, ends=_CALLED_OFF),
}

PIPELINES = {kind.pipeline.name: kind.pipeline for kind in KINDS.values()}

QUEUES = sorted(stage.queue for kind in KINDS.values() for stage in kind.pipeline.stages)
#: The stages with a limit, as the store names them.
LIMITED = sorted(
    f"{kind.pipeline.name}.{stage.name}"
    for kind in KINDS.values()
    for stage in kind.pipeline.stages
    if stage.limit
)
#: Those of children, and those of joins.
CHILDREN_QUEUES, JOIN_QUEUES = (
    frozenset(kind.pipeline.stages[place].queue for kind in KINDS.values() if kind.children)
    for place in (1, 2)
)


def orders(seed: int, *, locks: bool = True, limits: bool = True) -> Iterator[Order]:
    """Runs without end; the same seed gives the same ones, by the same names.

    A store that is a cluster keeps no locks and no limits, and runs of the version before meet no limit.
    """
    chance = random.Random(f"orders of {seed}")
    names = [
        name
        for name, kind in KINDS.items()
        if kind.share
        and (locks or not kind.pipeline.first.lock)
        and (limits or not kind.pipeline.first.limit)
    ]
    shares = [KINDS[name].share for name in names]
    number = 0
    while True:
        number += 1
        yield order(chance.choices(names, shares)[0], number, chance, mark=f"s{seed}")


def order(kind: str, number: int, chance: random.Random, *, mark: str) -> Order:
    """One run of a kind."""
    one = KINDS[kind]
    work = Work(
        order=number,
        kind=kind,
        seconds=round(chance.uniform(*one.seconds), 3),
        key=chance.choice("abc") if one.pipeline.first.lock else "",
        lane=chance.choice("abc") if one.pipeline.first.limit else "",
        text=kind[0] * TEXT_SIZE if kind == "large" else "",
        children=one.children,
    )
    return Order(
        run=f"{mark}-{number:06d}-{kind}",
        kind=kind,
        work=work,
        called_off=chance.uniform(*one.called_off) if one.called_off else None,
        expires=chance.uniform(*one.expires) if one.expires else None,
        later=chance.uniform(*one.later),
    )
