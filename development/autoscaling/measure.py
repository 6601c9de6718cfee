"""Measures one worker under a burst, as the API shows it.

    PYTHONPATH=development:test .venv/bin/python -m autoscaling.measure

A stack and a worker of its own, on the embedded queue; a minute. Writes figures.json beside this file: what the simulation serves with.
"""

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from support.processes import Process, base_command, clean_environment

FIGURES = Path(__file__).parent / "figures.json"
#: Jobs of the burst, the seconds that each sleeps, and how many a worker runs at once (the default).
JOBS, JOB_S, SLOTS = 300, 1.0, 10
#: Seconds of a job that runs while its worker is asked to stop.
_LONG_S = 5.0
_TIMEOUT_S = 120.0
_WORK = """
import asyncio

from mousetrap.handlers import task


@task
async def work(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds
"""


def main() -> None:
    """Measures, and writes the figures."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "work.py").write_text(_WORK)
        with _started(folder, "up", MOUSETRAP_API_PORT="0") as stack:
            url = stack.wait_for_line("The API is at").partition("The API is at ")[2].split()[0].rstrip(",.;")
            with httpx.Client(base_url=url, timeout=30) as api:
                FIGURES.write_text(_written(_measured(api, folder)))


def _measured(api: httpx.Client, folder: str) -> dict[str, Any]:
    begun = time.monotonic()
    with _started(folder, "worker", "work.py", MOUSETRAP_CONCURRENCY=str(SLOTS)) as worker:
        worker.wait_for_line("serving")
        started_s = time.monotonic() - begun
        samples, runs = _burst(api)
        stop_s = _stopped(api, worker)
    took_ms = [_began_and_ended(run) for run in runs]
    return {
        "about": f"{JOBS} jobs that sleep {JOB_S:g} s, one worker with {SLOTS} slots, embedded queue",
        "measured": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "worker_start_s": round(started_s, 2),
        "worker_stop_s": round(stop_s, 2),
        "left_s": _LONG_S,
        "slots": SLOTS,
        "job_s": JOB_S,
        "held_s": round(sum(end - begin for begin, end in took_ms) / 1000 / JOBS, 4),
        "arrived_s": [round((run["accepted_ms"] - runs[0]["accepted_ms"]) / 1000, 3) for run in runs],
        "began_s": sorted(round((begin - runs[0]["accepted_ms"]) / 1000, 3) for begin, _ in took_ms),
        "samples": samples,
    }


def _burst(api: httpx.Client) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the API showed once a second until all of the burst was done, and its runs by their times."""
    lines = "\n".join(json.dumps({"input": JOB_S, "id": f"burst-{number}"}) for number in range(JOBS))
    answer = api.post(
        "/pipelines/work/batch", content=lines, headers={"Content-Type": "application/x-ndjson"}
    )
    answer.raise_for_status()
    first_ms = api.get("/runs/burst-0").json()["accepted_ms"]
    samples: list[dict[str, Any]] = []
    while not samples or samples[-1]["ready"] or samples[-1]["running"]:
        queue = api.get("/queues/work").raise_for_status().json()
        samples.append({"at_s": round(time.time() - first_ms / 1000, 2), **_shown(queue)})
        time.sleep(1)
    runs = [api.get(f"/runs/burst-{number}").json() for number in range(JOBS)]
    return samples, sorted(runs, key=lambda run: int(run["accepted_ms"]))


def _written(figures: dict[str, Any]) -> str:
    """As JSON, a member on a line, and each sample on one of its own."""
    samples = ",\n".join(f"  {json.dumps(each)}" for each in figures.pop("samples"))
    members = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in figures.items()]
    return "{\n" + ",\n".join([*members, f' "samples": [\n{samples}\n ]']) + "\n}\n"


def _shown(queue: dict[str, Any]) -> dict[str, Any]:
    return {name: queue[name] for name in ("ready", "oldest_seconds", "running")}


def _stopped(api: httpx.Client, worker: Process) -> float:
    """Seconds from the request to stop to the end of a worker whose slots are all busy; each of its jobs is done by it."""
    ids = [f"last-{number}" for number in range(SLOTS)]
    for each in ids:
        api.post("/pipelines/work/runs", params={"run_id": each}, json=_LONG_S).raise_for_status()
    _until(lambda: all(api.get(f"/runs/{each}").json()["state"] == "running" for each in ids))
    asked = time.monotonic()
    code = worker.terminate()
    took = time.monotonic() - asked
    states = {api.get(f"/runs/{each}").json()["state"] for each in ids}
    if code != 0 or states != {"completed"}:
        raise SystemExit(f"the worker ended with {code}, and its jobs are {states}: {worker.output}")
    return took


def _began_and_ended(run: dict[str, Any]) -> tuple[int, int]:
    times = {event["kind"]: event["at_ms"] for event in run["timeline"]}
    return times["started"], run["finished_ms"]


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit("the jobs did not begin in time")
        time.sleep(0.05)


def _started(folder: str, *arguments: str, **settings: str) -> Process:
    return Process(base_command("cli", *arguments), clean_environment(**settings), Path(folder))


if __name__ == "__main__":
    main()
