"""Computes what a load needs: worker processes, broker, store, memory.

`python development/scale.py --runs 200 --stages 3 --payload 2000 --wait-ms 50` prints it, and what comes to its bound first. The
figures are those of docs/scale.md, of one machine: measure yours with `make bench`, and give them as options.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Share of a core, of a store's memory, or of a queue's rate that is planned with: what is left is for bad days.
_PLANNED = 0.7
#: The store accepts no run from this share of its memory on.
_ACCEPTED = 0.8


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a job, or a run that is remembered, costs."""

    #: µs of CPU for each job, of the worker without its handler, of all nodes of the broker, and of all servers of the store.
    worker_us: float = 30.0
    broker_us: float = 26.0
    store_us: float = 10.0
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
    #: Bytes of a run's input; what is over 64 KiB is kept by reference, and may be elsewhere.
    payload: int = 300
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
    store_cores: float
    store_gib: float
    #: Seconds of retention that the store's memory has room for.
    fitting_retention: float


def needed(load: Load, costs: Costs) -> Need:
    jobs = load.runs_a_second * load.stages
    computing = jobs * (costs.worker_us / 1e6 + load.cpu_ms / 1e3) / _PLANNED
    waiting = jobs * (load.cpu_ms + load.wait_ms) / 1e3 / load.concurrency / _PLANNED
    run_bytes = costs.run_bytes + costs.payload_factor * min(load.payload, 65_536)
    return Need(
        jobs_a_second=jobs,
        workers=max(1, math.ceil(max(computing, waiting))),
        workers_for="waiting" if waiting > computing else "computing",
        broker_cores=jobs * costs.broker_us / 1e6 / _PLANNED,
        queues=max(1, math.ceil(load.runs_a_second / (costs.queue_rate * _PLANNED))),
        store_cores=jobs * costs.store_us / 1e6 / _PLANNED,
        store_gib=load.runs_a_second * load.retention * run_bytes / _ACCEPTED / 2**30,
        fitting_retention=load.memory * _ACCEPTED * 2**30 / run_bytes / load.runs_a_second,
    )


def lines(load: Load, costs: Costs) -> list[str]:
    """For people."""
    need = needed(load, costs)
    store = "one Valkey" if need.store_cores <= 1 else f"a cluster of {math.ceil(need.store_cores)} primaries"
    return [
        f"jobs a second     {need.jobs_a_second:,.0f}",
        f"worker processes  {need.workers}, for {need.workers_for}",
        f"broker            {need.broker_cores:.2f} cores, {need.queues} queue(s) for each stage",
        f"store             {need.store_cores:.2f} cores: {store}; {need.store_gib:,.1f} GiB",
        f"retention         {need.fitting_retention / 3600:,.1f} h fit in {load.memory:g} GiB, {load.retention / 3600:,.0f} h are asked for",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What a load needs.")
    parser.add_argument("--runs", type=float, required=True, help="runs a second")
    parser.add_argument("--stages", type=int, default=Load.stages, help="jobs of a run")
    parser.add_argument("--payload", type=int, default=Load.payload, help="bytes of an input")
    parser.add_argument("--cpu-ms", type=float, default=Load.cpu_ms, help="that a handler computes")
    parser.add_argument("--wait-ms", type=float, default=Load.wait_ms, help="that a handler waits")
    parser.add_argument(
        "--concurrency", type=int, default=Load.concurrency, help="attempts at once of a process"
    )
    parser.add_argument(
        "--retention", type=float, default=Load.retention, help="seconds that runs are remembered"
    )
    parser.add_argument("--memory", type=float, default=Load.memory, help="GiB that the store has")
    for name in ("worker", "broker", "store"):
        default = getattr(Costs, f"{name}_us")
        parser.add_argument(
            f"--{name}-us", type=float, default=default, help=f"CPU of the {name} for each job"
        )
    given = parser.parse_args(arguments)
    load = Load(
        runs_a_second=given.runs,
        stages=given.stages,
        payload=given.payload,
        cpu_ms=given.cpu_ms,
        wait_ms=given.wait_ms,
        concurrency=given.concurrency,
        retention=given.retention,
        memory=given.memory,
    )
    costs = Costs(worker_us=given.worker_us, broker_us=given.broker_us, store_us=given.store_us)
    print("\n".join(lines(load, costs)))


if __name__ == "__main__":
    main()
