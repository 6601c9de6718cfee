"""Lists the exchanges, queues and bindings of given work queues."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from mousetrap.job_queue.topology import delay_ladder
from mousetrap.jobs import QueueOptions, dead_queue, high_queue, stage_queue

#: Direct: a queue's name is its routing key.
JOBS = "mousetrap.jobs"
#: Direct: a message that a work queue gives up by itself goes to its dead queue, under the work queue's name.
DEAD = "mousetrap.dead"

#: The exchanges that bindings of a work queue name.
_OF_QUEUES = (JOBS, DEAD, delay_ladder.DELIVER)

#: Returns to a queue before the broker gives a message up. Each restart of a worker returns the messages that it had
#: prefetched, so that a low limit, or the 20 of brokers from 4.0 on, gives up messages that no worker has tried; the run store
#: counts how many workers a job has killed. "No limit" has no form that all versions accept; a limit also keeps returned
#: messages in their place.
_DELIVERY_LIMIT = 1_000_000_000


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
    """Messages of the exchange `source` with the routing key `key` go to `to`."""

    source: str
    key: str
    to: str
    to_exchange: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything to declare on the broker, in an order that works."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[DeclaredQueue, ...]
    bindings: tuple[Binding, ...]
    #: The names that can be published to.
    names: frozenset[str]
    #: Whether this process declares it, or only checks that it is there.
    declared_by_us: bool

    def part(self, queue: str) -> "Topology":
        """What a consumer of one work queue or high queue needs: without the delay ladder and the other queues.

        A worker subscribes to many queues at once: six workers on a cluster took 17 s where each channel declared all, and take two.
        """
        names = frozenset({queue, dead_queue(stage_queue(queue))})
        return Topology(
            exchanges=tuple(each for each in self.exchanges if each.name in _OF_QUEUES),
            queues=tuple(each for each in self.queues if each.name in names),
            bindings=tuple(each for each in self.bindings if each.to in names),
            names=names,
            declared_by_us=self.declared_by_us,
        )


def topology(work_queues: Iterable[str], options: QueueOptions) -> Topology:
    """The topology of these work queues: they, their high and dead queues and the delay ladder.

    Without work queues it has exchanges alone, and nothing that could differ from what another version declared.
    """
    work = tuple(dict.fromkeys(work_queues))
    high = tuple(map(high_queue, work))
    names = [*work, *high, *map(dead_queue, work)]
    rungs = range(delay_ladder.RUNGS if work else 0)
    return Topology(
        exchanges=(
            Exchange(JOBS, "direct"),
            Exchange(DEAD, "direct"),
            *(Exchange(delay_ladder.rung(k), "topic") for k in (-1, *rungs)),
        ),
        queues=(
            *(_work_queue(queue, options) for queue in (*work, *high)),
            *(_dead_queue(dead_queue(queue), options) for queue in work),
            *(_waiting_queue(k, options) for k in rungs),
        ),
        bindings=(
            *(Binding(JOBS, name, name) for name in names),
            *(Binding(DEAD, queue, dead_queue(queue)) for queue in work),
            *(Binding(delay_ladder.DELIVER, delay_ladder.arrives(name), name) for name in names),
            *(binding for k in rungs for binding in _rung_bindings(k)),
        ),
        names=frozenset(names),
        declared_by_us=options.declare,
    )


def _rung_bindings(k: int) -> Iterator[Binding]:
    here = delay_ladder.rung(k)
    yield Binding(here, delay_ladder.reads(k, 1), here)
    yield Binding(here, delay_ladder.reads(k, 0), delay_ladder.rung(k - 1), to_exchange=True)


def _work_queue(name: str, options: QueueOptions) -> DeclaredQueue:
    arguments: dict[str, str | int] = {
        "x-max-length": options.max_length,
        **({"x-max-length-bytes": options.max_bytes} if options.max_bytes else {}),
        "x-dead-letter-routing-key": stage_queue(name),
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

    Without reject-publish a broker treats at-least-once as at-most-once, and does not report it.
    """
    kept = {"x-dead-letter-strategy": "at-least-once"} if options.queue_type == "quorum" else {}
    return {**_kind(options), "x-overflow": "reject-publish", "x-dead-letter-exchange": exchange, **kept}


def _unlimited_returns(options: QueueOptions) -> Mapping[str, str | int]:
    return {"x-delivery-limit": _DELIVERY_LIMIT} if options.queue_type == "quorum" else {}


def _kind(options: QueueOptions) -> Mapping[str, str | int]:
    kind: dict[str, str | int] = {"x-queue-type": options.queue_type}
    if options.queue_type == "quorum":
        # Otherwise all leaders of a cluster are on the node that the declaring client is connected to.
        kind["x-queue-leader-locator"] = "balanced"
    return kind
