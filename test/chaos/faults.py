"""Defines the faults: each attacks a deployment and is undone."""

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self, cast

from redis import Redis

from chaos.deployment import Deployment
from chaos.ladder import make_it_forget, set_ladder_going
from chaos.points import FanPoint, Point
from chaos.scheduler import TICKED
from chaos.worker import LEASE
from chaos.worker_pool import WorkerPool
from chaos.workload import KINDS
from mousetrap.embedded_valkey import EmbeddedValkey
from support.processes import Process
from support.rabbitmq import OwnRabbitMQ
from support.rabbitmq_cluster import TICK_S, RabbitMQCluster
from support.valkey import administrator
from support.waiting import until

#: Seconds that a fault stays which has no length of its own.
_STAY = 3.0
#: The shortest rungs of the delay ladder, by which retries wait.
_RUNGS = 6
#: Seconds until a worker comes to a point that there is work for.
_COMES_BY = 60.0

#: Runs that lead a worker to points which the usual mix seldom passes.
_BAIT: Mapping[str, tuple[str, int]] = {
    **dict.fromkeys(FanPoint, ("fan", 1)),
    Point.LEASE_RENEWED: ("slow", 6),
    Point.RETRY_PUBLISHED: ("delayed", 4),
    Point.DEAD_LETTER_PUBLISHED: ("poison", 4),
    Point.PUBLISH_SENT: ("chained", 4),
    Point.PUBLISHED: ("chained", 4),
    Point.PAYLOAD_READ: ("large", 8),
    Point.PAYLOAD_PUT: ("large", 4),
    Point.HANDED_BACK: ("slow", 70),
}


#: At which passing the trap is sprung, at most: at the third, but one fan-out passes other points once, or a hundred times a window.
_PASSINGS: Mapping[str, int] = {
    **dict.fromkeys(FanPoint, 1),
    FanPoint.WINDOW_SENT: 3,
    FanPoint.WINDOW_OPENED: 3,
    FanPoint.CHILD_SENT: 300,
    FanPoint.CHILD_PUBLISHED: 300,
}


class Span(NamedTuple):
    """When a fault began and when it was over, on the monotonic clock."""

    begin: float
    end: float


# Workers


def strike_at(deployment: Deployment, point: Point | FanPoint, act: str) -> float:
    """Kills a worker, or cuts it off its broker, as it passes `point`; when that was."""
    deployment.pool.wait_until_up()
    armed = {worker: len(worker.lines) for worker in deployment.pool.up()}
    for worker in armed:
        _set_trap(
            deployment, worker, f"{point} {act} {deployment.chance.randint(1, _PASSINGS.get(point, 3))}"
        )
    if point in _BAIT:
        deployment.submit(*_BAIT[point])
    if point is Point.HANDED_BACK:
        for worker in armed:  # only one that leaves hands back what it had no time for
            worker.send(signal.SIGTERM)
    until(
        lambda: any(_sprung(worker, before) for worker, before in armed.items()),
        f"a worker passes {point}",
        _COMES_BY,
    )
    at = time.monotonic()
    for worker in deployment.pool.up():
        if worker in armed:
            _set_trap(deployment, worker, "")
    return at


def kill_a_worker(deployment: Deployment) -> Span:
    """SIGKILL, at no point in particular."""
    deployment.pool.wait_until_up()
    deployment.chance.choice(deployment.pool.up()).send(signal.SIGKILL)
    return _now()


def kill_all_workers(deployment: Deployment) -> Span:
    """At once: until a new one is up, no worker works."""
    deployment.pool.wait_until_up()
    for worker in deployment.pool.up():
        worker.send(signal.SIGKILL)
    return _now()


def pause_a_worker(deployment: Deployment, *, cut_off: bool = False) -> Span:
    """SIGSTOP, and SIGCONT when its leases are over.

    Cut off from its broker, it is a zombie: others have got its jobs, and it wakes up believing that they are its own.
    """
    with Timed() as timed:
        deployment.pool.wait_until_up()
        worker = deployment.chance.choice(deployment.pool.up())
        worker.send(signal.SIGSTOP)
        if cut_off:
            deployment.broker_door.cut()
        time.sleep(LEASE + 1.5)
        worker.send(signal.SIGCONT)
    return timed.span


def restart_workers_one_by_one(deployment: Deployment) -> Span:
    """SIGTERM, one after the other, as a deployment does."""
    with Timed() as timed:
        deployment.pool.wait_until_up()
        for worker in deployment.pool.up():
            worker.send(signal.SIGTERM)
            worker.wait(seconds=60)
            until(lambda gone=worker: gone in deployment.pool.former, "a new worker", 60)  # type: ignore[misc]
            deployment.pool.wait_until_up()
    return timed.span


def _submitting(kind: str, count: int = 1) -> Callable[[Deployment], Span]:
    """Runs whose handlers do harm; the harm is over when they have ended."""

    def strike(deployment: Deployment) -> Span:
        with Timed() as timed:
            deployment.wait_for_end(deployment.submit(kind, count))
        return timed.span

    return strike


# RabbitMQ


def stop_the_broker(deployment: Deployment) -> Span:
    """The broker's application stops and starts; its node stays."""
    with Timed() as timed:
        _broker(deployment).rabbitmqctl("stop_app")
        time.sleep(1.0)
        _broker(deployment).rabbitmqctl("start_app")
    return timed.span


def kill_the_broker(deployment: Deployment) -> Span:
    with Timed() as timed:
        _broker(deployment).kill()
        time.sleep(0.5)
        _broker(deployment).start()
    return timed.span


def _using_up(what: str, nothing: str, usual: str) -> Callable[[Deployment], Span]:
    """The broker raises an alarm for want of what `rabbitmqctl` sets, and takes no message until it has it again."""

    def strike(deployment: Deployment) -> Span:
        with Timed() as timed:
            _broker(deployment).rabbitmqctl(what, nothing)
            time.sleep(_STAY)
            _broker(deployment).rabbitmqctl(what, usual)
        return timed.span

    return strike


def fill_the_queues(deployment: Deployment) -> Span:
    """Each queue takes one message, and refuses the next."""
    vhost = ("--vhost", deployment.vhost)
    names = "|".join(kind for kind in KINDS if kind != "doomed")
    with Timed() as timed:
        policy = (f"^({names})_[0-9]$", json.dumps({"max-length": 1}), "--apply-to", "queues")
        _broker(deployment).rabbitmqctl("set_policy", *vhost, "chaos-full", *policy)
        time.sleep(_STAY)
        _broker(deployment).rabbitmqctl("clear_policy", *vhost, "chaos-full")
    return timed.span


def delete_a_queue(deployment: Deployment) -> Span:
    """With messages in it, which are lost then: an operator's act. Those after it must not be."""
    queue = KINDS["doomed"].pipeline.first.queue
    before = deployment.submit("doomed", 120)
    with Timed() as timed:
        lines_before = {worker: len(worker.lines) for worker in deployment.pool.up()}
        _broker(deployment).rabbitmqctl("delete_queue", "--vhost", deployment.vhost, queue)
        deployment.forgive(set(before))
        until(
            lambda: any(
                _has_printed(worker, f"queue {queue}", lines_before.get(worker, 0))
                for worker in deployment.pool.all
            ),
            "a worker logs that its queue is gone",
        )
    deployment.wait_for_end(deployment.submit("doomed", 3))
    return timed.span


# A cluster of three


def kill_the_leader(deployment: Deployment) -> Span:
    """The node that leads a queue dies; it comes back after the others have gone on."""
    leader = _cluster(deployment).leader(KINDS["plain"].pipeline.first.queue)
    leader.kill()
    span = _now()
    deployment.done_after(span.end, 60)
    _cluster(deployment).start()
    return span


def lose_the_quorum(deployment: Deployment) -> Span:
    """Two of three die: nothing can be kept safely, so nothing is accepted; and they come back."""
    with Timed() as timed:
        for node in deployment.chance.sample(_cluster(deployment).nodes, 2):
            node.kill()
        time.sleep(_STAY)
        _cluster(deployment).start()
    return timed.span


def cut_off_the_leader(deployment: Deployment) -> Span:
    """The node that leads a queue lives and reaches no other node, while clients reach it: the other two go on."""
    links = _links_of_the_leader(deployment)
    _cluster(deployment).cut(*links)
    span = _now()
    deployment.done_after(span.end, 60)
    _cluster(deployment).wait_until_noticed(*links)  # and the leader pauses
    deployment.done_after(time.monotonic(), 60)
    _cluster(deployment).heal()
    return span


def cut_off_for_a_moment(deployment: Deployment) -> Span:
    """A leader reaches no other node for less than any node takes to notice, and then goes on where it was."""
    with Timed() as timed:
        _cluster(deployment).cut(*_links_of_the_leader(deployment))
        time.sleep(deployment.chance.uniform(0.5, TICK_S / 4))
        _cluster(deployment).heal()
    return timed.span


def _cutting(count: int) -> Callable[[Deployment], Span]:
    """Nodes that live and do not reach each other. One link: each side has a majority. All three: none has."""

    def strike(deployment: Deployment) -> Span:
        with Timed() as timed:
            links = deployment.chance.sample([(0, 1), (0, 2), (1, 2)], count)
            _cluster(deployment).cut(*links)
            _cluster(deployment).wait_until_noticed(*links)
            _cluster(deployment).heal()
        return timed.span

    return strike


def forget_the_rungs(deployment: Deployment) -> Span:
    """The broker forgets the shortest rungs of the delay ladder; what waits there comes down once its nodes were restarted."""
    cluster = _cluster(deployment)
    with Timed() as timed:
        for k in range(_RUNGS):
            with suppress(AssertionError):  # the first one on a node takes the others there with it
                make_it_forget(cluster, f"mousetrap.delay.{k}")
        waiting = deployment.submit("delayed", 20)
        set_ladder_going(cluster)
        deployment.wait_for_end(waiting)
    return timed.span


def _links_of_the_leader(deployment: Deployment) -> list[tuple[int, int]]:
    nodes = _cluster(deployment).nodes
    leader = nodes.index(_cluster(deployment).leader(KINDS["plain"].pipeline.first.queue))
    return [(leader, other) for other in range(len(nodes)) if other != leader]


# Networks


def cut_the_brokers_connections(deployment: Deployment) -> Span:
    deployment.broker_door.cut()
    return _now()


def cut_the_stores_connections(deployment: Deployment) -> Span:
    deployment.store_door.cut()
    return _now()


def pull_the_cable(deployment: Deployment) -> Span:
    """Half open: nothing passes by the connections of now, and neither side learns of it. What counts is the time from here."""
    deployment.broker_door.stall()
    return _now()


def slow_the_network(deployment: Deployment) -> Span:
    with Timed() as timed:
        deployment.broker_door.weather.delay = deployment.chance.uniform(0.05, 0.4)
        time.sleep(_STAY)
        deployment.broker_door.weather.delay = 0.0
    return timed.span


def lose_acknowledgements(deployment: Deployment) -> Span:
    """Basic.Ack frames of workers vanish, and then the connections that should have carried them."""
    with Timed() as timed:
        _lose(deployment, "drop_acks")
        deployment.broker_door.cut()
    return timed.span


def lose_confirms(deployment: Deployment) -> Span:
    """Basic.Ack frames of the broker vanish: the publisher must not wait without end, nor lose the message."""
    with Timed() as timed:
        _lose(deployment, "drop_confirms")
    return timed.span


# The store


def kill_the_store(deployment: Deployment) -> Span:
    with Timed() as timed:
        _store(deployment).kill()
        time.sleep(0.5)
        _store(deployment).start()
    return timed.span


def pause_the_store(deployment: Deployment) -> Span:
    with Timed() as timed:
        os.kill(_pid(deployment), signal.SIGSTOP)
        time.sleep(LEASE + 1.0)
        os.kill(_pid(deployment), signal.SIGCONT)
    return timed.span


def fill_the_store(deployment: Deployment) -> Span:
    """Each write is refused for want of memory."""
    with Timed() as timed, Redis.from_url(administrator(deployment.store.url)) as client:
        client.config_set("maxmemory", 1)
        time.sleep(_STAY)
        client.config_set("maxmemory", 0)
    return timed.span


# Callers


def kill_a_scheduler(deployment: Deployment) -> Span:
    """SIGKILL, at no point in particular; the other one goes on."""
    schedulers = _schedulers(deployment)
    schedulers.wait_until_up()
    deployment.chance.choice(schedulers.up()).send(signal.SIGKILL)
    return _now()


def kill_all_schedulers(deployment: Deployment) -> Span:
    """Until a new one is up, no tick fires."""
    schedulers = _schedulers(deployment)
    schedulers.wait_until_up()
    for scheduler in schedulers.up():
        scheduler.send(signal.SIGKILL)
    return _now()


def pause_a_queue(deployment: Deployment) -> Span:
    """No worker takes from the queue of ticks; two are killed meanwhile, and their successors take nothing of it either."""
    queue = KINDS[TICKED].pipeline.first.queue
    with Timed() as timed:
        deployment.pause(queue)
        time.sleep(_STAY)
        kill_a_worker(deployment)
        kill_all_workers(deployment)
        deployment.pool.wait_until_up()
        deployment.resume(queue)
    return timed.span


def kill_the_caller(deployment: Deployment, point: str) -> Span:
    """The process that submits dies between recording a run and knowing that its first job is published."""
    caller = deployment.callers[-1]
    before = len(caller.lines)
    _set_trap(deployment, caller, f"{point} kill 1")
    until(lambda: _sprung(caller, before), f"the caller passes {point}", _COMES_BY)
    caller.wait()
    at = time.monotonic()
    deployment.start_caller_again()
    return Span(at, time.monotonic())


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault with its name, its class for the table, and where it applies."""

    name: str
    group: str
    strike: Callable[[Deployment], Span]
    #: Whether it is one of RabbitMQ.
    rabbitmq: bool = False


def _at_point(point: Point | FanPoint, act: str) -> Fault:
    def strike(deployment: Deployment) -> Span:
        at = strike_at(deployment, point, act)
        return Span(at, at)

    group = "worker killed at a point" if act == "kill" else "connection lost at a point"
    return Fault(f"{act} at {point}", group, strike)


AT_POINTS = {act: [_at_point(point, act) for point in Point] for act in ("kill", "abort")}

FAULTS: tuple[Fault, ...] = (
    Fault("worker SIGKILL", "worker killed", kill_a_worker),
    Fault("all workers SIGKILL", "all workers killed", kill_all_workers),
    Fault("worker paused past its leases", "worker paused", pause_a_worker),
    Fault("zombie", "worker paused", partial(pause_a_worker, cut_off=True)),
    Fault("rolling SIGTERM", "rolling restart", restart_workers_one_by_one),
    Fault("blocked loop", "blocked loop", _submitting("blocker")),
    Fault("job that kills its workers", "killing job", _submitting("killer")),
    Fault("job that eats memory", "killing job", _submitting("eater")),
    Fault("isolated job that kills its process", "killing isolated job", _submitting("isolated_killer", 3)),
    Fault("scheduler SIGKILL", "scheduler killed", kill_a_scheduler),
    Fault("all schedulers SIGKILL", "all schedulers killed", kill_all_schedulers),
    Fault("queue paused", "queue paused", pause_a_queue),
    Fault("broker stop_app, start_app", "broker away", stop_the_broker, rabbitmq=True),
    Fault("broker SIGKILL", "broker away", kill_the_broker, rabbitmq=True),
    Fault(
        "broker memory alarm",
        "broker alarm",
        _using_up("set_vm_memory_high_watermark", nothing="0", usual="0.4"),
        rabbitmq=True,
    ),
    Fault(
        "broker disk alarm",
        "broker alarm",
        _using_up("set_disk_free_limit", nothing="100000GB", usual="50MB"),
        rabbitmq=True,
    ),
    Fault("queues full", "queues full", fill_the_queues, rabbitmq=True),
    Fault("queue deleted", "queue deleted", delete_a_queue, rabbitmq=True),
    Fault("broker TCP cut", "TCP cut", cut_the_brokers_connections),
    Fault("store TCP cut", "TCP cut", cut_the_stores_connections),
    Fault("broker TCP half open", "TCP half open", pull_the_cable, rabbitmq=True),
    Fault("broker TCP slow", "TCP slow", slow_the_network),
    Fault("acknowledgements lost", "frames lost", lose_acknowledgements, rabbitmq=True),
    Fault("confirms lost", "frames lost", lose_confirms, rabbitmq=True),
    Fault("store SIGKILL", "store away", kill_the_store),
    Fault("store paused", "store away", pause_the_store),
    Fault("store out of memory", "store full", fill_the_store),
    Fault(
        "caller killed, run recorded",
        "caller killed",
        lambda deployment: kill_the_caller(deployment, "recorded"),
    ),
    Fault("caller killed, input put", "caller killed", lambda w: kill_the_caller(w, "input_put")),
    Fault("caller killed, first job sent", "caller killed", lambda w: kill_the_caller(w, "first_job_sent")),
)


ON_THE_EMBEDDED_QUEUE = tuple(fault for fault in FAULTS if not fault.rabbitmq)

OF_A_CLUSTER: tuple[Fault, ...] = (
    Fault("leader SIGKILL", "leader killed", kill_the_leader, rabbitmq=True),
    Fault("quorum lost and regained", "quorum lost", lose_the_quorum, rabbitmq=True),
    Fault("leader cut off alive", "partition", cut_off_the_leader, rabbitmq=True),
    Fault("leader cut off for a moment", "partition", cut_off_for_a_moment, rabbitmq=True),
    Fault("one link cut", "partition", _cutting(1), rabbitmq=True),
    Fault("all links cut", "partition", _cutting(3), rabbitmq=True),
    Fault("rungs forgotten", "rungs forgotten", forget_the_rungs, rabbitmq=True),
)


class Timed:
    """The span of a block."""

    span: Span

    def __enter__(self) -> Self:
        self.begin = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self.span = Span(self.begin, time.monotonic())


def _now() -> Span:
    now = time.monotonic()
    return Span(now, now)


def _set_trap(deployment: Deployment, process: Process, how: str) -> None:
    before = len(process.lines)
    (deployment.folder / f"trap.{process.pid}").write_text(how)
    process.send(signal.SIGUSR1)
    if process.running:
        until(
            lambda: not process.running or _has_printed(process, "trap set at", before),
            f"{process.name} sets its trap",
        )


def _sprung(process: Process, before: int) -> bool:
    return _has_printed(process, "trap sprung", before)


def _has_printed(process: Process, text: str, before: int) -> bool:
    return any(text in line for line in process.lines[before:])


def _lose(deployment: Deployment, which: str) -> None:
    """Lets some frames vanish, and returns when they have."""
    weather = deployment.broker_door.weather
    setattr(weather, which, deployment.chance.randint(1, 4))
    until(lambda: getattr(weather, which) <= 0, f"frames vanish ({which})", _COMES_BY)


def _broker(deployment: Deployment) -> OwnRabbitMQ:
    assert deployment.broker is not None
    return cast(OwnRabbitMQ, deployment.broker)


def _cluster(deployment: Deployment) -> RabbitMQCluster:
    assert isinstance(deployment.broker, RabbitMQCluster)
    return deployment.broker


def _schedulers(deployment: Deployment) -> WorkerPool:
    assert deployment.schedulers is not None
    return deployment.schedulers


def _store(deployment: Deployment) -> EmbeddedValkey:
    assert isinstance(deployment.store, EmbeddedValkey)
    return deployment.store


def _pid(deployment: Deployment) -> int:
    pid = _store(deployment).pid
    assert pid is not None
    return pid
