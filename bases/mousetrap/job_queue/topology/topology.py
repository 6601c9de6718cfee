"""Lists the exchanges, queues and bindings that stand on the broker for given work queues."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from mousetrap.job_queue.topology import delay_ladder
from mousetrap.jobs import QueueOptions, dead_queue

#: Direct: a queue's name is its routing key.
JOBS = "mousetrap.jobs"
#: Direct: what a work queue gives up by itself goes to its dead queue, under the work queue's name.
DEAD = "mousetrap.dead"

#: Returns to a queue before the broker gives a message up. Each restart of a worker returns what it had taken and not
#: begun, so that a low limit, or the 20 of brokers from 4.0 on, gives up messages that nobody has tried; how many workers a
#: job has killed the run store counts. "No limit" has no form that all versions take; a limit also keeps returned messages
#: in their place.
_AS_GOOD_AS_NO_LIMIT = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    type: Literal["direct", "topic"]


@dataclass(frozen=True, slots=True)
class DeclaredQueue:
    """A durable queue; a broker refuses to declare it again with other arguments."""

    name: str
    arguments: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Binding:
    """What the exchange `source` gets under `key` goes to `to`."""

    source: str
    key: str
    to: str
    to_exchange: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    """All that stands on the broker, in the order in which it can be declared."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[DeclaredQueue, ...]
    bindings: tuple[Binding, ...]
    #: The names that can be published to.
    names: frozenset[str]
    #: Whether we make it; else we only look whether it stands.
    ours: bool


def topology(work_queues: Iterable[str], options: QueueOptions) -> Topology:
    """What stands on the broker for these work queues: they, their dead queues and the delay ladder.

    Without any there are exchanges alone, and nothing that could differ from what another version made.
    """
    work = tuple(dict.fromkeys(work_queues))
    names = [name for queue in work for name in (queue, dead_queue(queue))]
    rungs = range(delay_ladder.RUNGS if work else 0)
    return Topology(
        exchanges=(
            Exchange(JOBS, "direct"),
            Exchange(DEAD, "direct"),
            *(Exchange(delay_ladder.rung(k), "topic") for k in (-1, *rungs)),
        ),
        queues=(
            *(_work_queue(queue, options) for queue in work),
            *(_dead_queue(dead_queue(queue), options) for queue in work),
            *(_waiting_queue(k, options) for k in rungs),
        ),
        bindings=(
            *(Binding(JOBS, name, name) for name in names),
            *(Binding(DEAD, queue, dead_queue(queue)) for queue in work),
            *(Binding(delay_ladder.DELIVER, delay_ladder.arrives(name), name) for name in names),
            *(binding for k in rungs for binding in _steps(k)),
        ),
        names=frozenset(names),
        ours=options.declare,
    )


def _steps(k: int) -> Iterator[Binding]:
    here = delay_ladder.rung(k)
    yield Binding(here, delay_ladder.reads(k, 1), here)
    yield Binding(here, delay_ladder.reads(k, 0), delay_ladder.rung(k - 1), to_exchange=True)


def _work_queue(name: str, options: QueueOptions) -> DeclaredQueue:
    arguments: dict[str, str | int] = {
        "x-max-length": options.max_length,
        **({"x-max-length-bytes": options.max_bytes} if options.max_bytes else {}),
        "x-dead-letter-routing-key": name,
        **_dead_lettering(DEAD, options),
        **_unlimited_returns(options),
    }
    return DeclaredQueue(name, arguments)


def _dead_queue(name: str, options: QueueOptions) -> DeclaredQueue:
    return DeclaredQueue(name, {**_kind(options), **_unlimited_returns(options)})


def _waiting_queue(k: int, options: QueueOptions) -> DeclaredQueue:
    return DeclaredQueue(
        delay_ladder.rung(k),
        {"x-message-ttl": delay_ladder.wait(k), **_dead_lettering(delay_ladder.rung(k - 1), options)},
    )


def _dead_lettering(exchange: str, options: QueueOptions) -> Mapping[str, str | int]:
    """Moves messages on to `exchange`; on quorum queues keeps each until its next place has confirmed it.

    Without reject-publish a broker quietly takes at-least-once for at-most-once.
    """
    kept = {"x-dead-letter-strategy": "at-least-once"} if options.queue_type == "quorum" else {}
    return {**_kind(options), "x-overflow": "reject-publish", "x-dead-letter-exchange": exchange, **kept}


def _unlimited_returns(options: QueueOptions) -> Mapping[str, str | int]:
    return {"x-delivery-limit": _AS_GOOD_AS_NO_LIMIT} if options.queue_type == "quorum" else {}


def _kind(options: QueueOptions) -> Mapping[str, str | int]:
    kind: dict[str, str | int] = {"x-queue-type": options.queue_type}
    if options.queue_type == "quorum":
        # Else all leaders of a cluster gather on the node that the declaring client happens to be on.
        kind["x-queue-leader-locator"] = "balanced"
    return kind
