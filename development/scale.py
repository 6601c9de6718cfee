"""Computes what a load needs: worker processes, broker, store, memory.

`python development/scale.py --runs 200 --stages 3 --payload 2000 --wait-ms 50` prints it, and what comes to its bound first. The
figures are those of docs/scale.md, of one machine: measure yours with `make bench`, and give them as options.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Share of a core, of a store's memory, or of a queue's rate that is planned with: what is left is for bad days.
_PLANNED = 0.7
#: The store accepts no run from this share of its memory on.
_ACCEPTED = 0.8
#: A cluster of Valkey begins with three.
_FEWEST_PRIMARIES = 3
#: Of each option: beyond it nothing was ever measured, and no figure here overflows.
_MOST = 1e12
#: What has an option for its CPU.
_COSTS = {
    "worker_us": "the worker",
    "broker_us": "the broker",
    "store_us": "the store, one server",
    "cluster_us": "the store, a cluster",
}


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a job, or a run that is remembered, costs."""

    #: µs of CPU for each job, of the worker without its handler, of all nodes of the broker, and of a store that is one server.
    worker_us: float = 30.0
    broker_us: float = 26.0
    store_us: float = 10.0
    #: The same of all servers of a store that is a cluster whose primaries have a replica each.
    cluster_us: float = 42.0
    #: Jobs a second through one quorum queue: its leader is one process of one node.
    queue_rate: float = 11_000.0
    #: Bytes of the store for each remembered run, and for each byte of a payload of it.
    run_bytes: float = 1_800.0
    payload_factor: float = 3.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is to be done."""

    runs_a_second: float
    stages: int = 2
    #: Bytes of a run's input, which the store has too where they are kept by reference, unless MOUSETRAP_PAYLOAD_URL is elsewhere.
    payload: float = 300.0
    #: Of a handler: what it computes, and what it waits for.
    cpu_ms: float = 0.0
    wait_ms: float = 0.0
    #: Attempts that one process makes at once (MOUSETRAP_CONCURRENCY).
    concurrency: int = 10
    #: Seconds that runs are remembered (MOUSETRAP_RETENTION_SECONDS).
    retention: float = 604_800.0
    #: GiB that the store has.
    memory: float = 16.0


@dataclass(frozen=True, kw_only=True)
class Need:
    """What the load needs."""

    jobs_a_second: float
    workers: int
    #: Why so many: "computing", or "waiting" (then a higher concurrency needs fewer).
    workers_for: str
    broker_cores: float
    #: Queues for each stage: 1 unless one cannot take the rate.
    queues: int
    #: Of all its servers.
    store_cores: float
    #: Of the store: 1 for one server.
    primaries: int
    store_gib: float
    #: Seconds of retention that the store's memory has room for.
    fitting_retention: float


def needed(load: Load, costs: Costs) -> Need:
    jobs = load.runs_a_second * load.stages
    computing = jobs * (costs.worker_us / 1e6 + load.cpu_ms / 1e3) / _PLANNED
    waiting = jobs * (load.cpu_ms + load.wait_ms) / 1e3 / load.concurrency / _PLANNED
    run_bytes = costs.run_bytes + costs.payload_factor * load.payload
    store_cores, primaries = _store(jobs, costs)
    return Need(
        jobs_a_second=jobs,
        workers=max(1, math.ceil(max(computing, waiting))),
        workers_for="waiting" if waiting > computing else "computing",
        broker_cores=jobs * costs.broker_us / 1e6 / _PLANNED,
        queues=max(1, math.ceil(load.runs_a_second / (costs.queue_rate * _PLANNED))),
        store_cores=store_cores,
        primaries=primaries,
        store_gib=load.runs_a_second * load.retention * run_bytes / _ACCEPTED / 2**30,
        fitting_retention=load.memory * _ACCEPTED * 2**30 / run_bytes / load.runs_a_second,
    )


def _store(jobs: float, costs: Costs) -> tuple[float, int]:
    """Cores of all servers, and primaries; how a cluster's CPU is shared with its replicas was not measured: the primaries get all of it."""
    cores = jobs * costs.store_us / 1e6 / _PLANNED
    if cores <= 1:
        return cores, 1
    cores = jobs * costs.cluster_us / 1e6 / _PLANNED
    return cores, max(_FEWEST_PRIMARIES, math.ceil(cores))


def lines(load: Load, costs: Costs) -> list[str]:
    """For people."""
    need = needed(load, costs)
    store = "one Valkey" if need.primaries == 1 else f"a cluster of {need.primaries} primaries"
    return [
        f"jobs a second     {need.jobs_a_second:,.0f}",
        f"worker processes  {need.workers}, for {need.workers_for}",
        f"broker            {need.broker_cores:.2f} cores, {need.queues} queue(s) for each stage",
        f"store             {need.store_cores:.2f} cores: {store}; {need.store_gib:,.1f} GiB",
        f"retention         {need.fitting_retention / 3600:,.1f} h fit in {load.memory:g} GiB, {load.retention / 3600:,.0f} h are asked for",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    given = vars(_parser().parse_args(arguments))
    costs = Costs(**{name: given.pop(name) for name in _COSTS})
    print("\n".join(lines(Load(runs_a_second=given.pop("runs"), **given), costs)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="What a load needs.")
    parser.add_argument("--runs", type=_above_zero, required=True, help="runs a second")
    for name, kind, about in (
        ("stages", _count, "jobs of a run"),
        ("payload", _amount, "bytes of an input; 300 where payloads are kept elsewhere"),
        ("cpu_ms", _amount, "that a handler computes"),
        ("wait_ms", _amount, "that a handler waits"),
        ("concurrency", _count, "attempts at once of a process"),
        ("retention", _amount, "seconds that runs are remembered"),
        ("memory", _amount, "GiB that the store has"),
    ):
        _add(parser, name, kind, getattr(Load, name), about)
    for name, of in _COSTS.items():
        _add(parser, name, _amount, getattr(Costs, name), f"CPU of {of} for each job")
    return parser


def _add(
    parser: argparse.ArgumentParser, name: str, kind: Callable[[str], float], default: float, about: str
) -> None:
    parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default, help=about)


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not 0 <= amount <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to {_MOST:,.0f}")
    return amount


def _above_zero(text: str) -> float:
    if not (amount := _amount(text)):
        raise argparse.ArgumentTypeError("it must be above 0")
    return amount


def _count(text: str) -> int:
    amount = _above_zero(text)
    if amount != int(amount):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(amount)


if __name__ == "__main__":
    main()
