"""Tables of workers on a terminal of 80 columns."""

from mousetrap.cli.tables.workers import workers_table
from mousetrap.shapes import Doing, Worker, WorkerState
from support.terminal import shown

RUN = "019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b"


def a_worker(state: WorkerState, doing: int, *, running: int, silent: float) -> Worker:
    jobs = tuple(Doing(run_id=RUN, stage="fetch", attempt=2, seconds=62.5) for _ in range(doing))
    return Worker(
        name="host-4711-9f3c", host="host", pid=4711, version="1", queues=("start_fetch",), started_ms=1, seen_ms=2, state=state, stages=("earthquakes.fetch", "earthquakes.process"), concurrency=10,
        running=running, done=1204, failed=2, silent=silent, doing=jobs,
    )  # fmt: skip


def test_workers_fit_into_80_columns_with_what_they_run() -> None:
    workers = [a_worker("serving", 0, running=0, silent=1.2), a_worker("stuck", 1, running=1, silent=123)]

    assert shown(workers_table(workers)) == (
        "worker          state    stages               running  done  failed     silent\n"
        "──────────────────────────────────────────────────────────────────────────────\n"
        "host-4711-9f3c  serving  earthquakes.fetch    0 of 10  1204       2     1.20 s\n"
        "                         earthquakes.process\n"
        "host-4711-9f3c  stuck    earthquakes.fetch    1 of 10  1204       2  2 min 3 s\n"
        "                         earthquakes.process\n"
        "\n"
        "run                               stage  attempt        for  worker\n"
        "───────────────────────────────────────────────────────────────────────────\n"
        f"{RUN}  fetch        2  1 min 2 s  host-4711-9f3c"
    )


def test_a_worker_that_is_gone_is_not_shown_at_work() -> None:
    table = shown(workers_table([a_worker("stale", 1, running=1, silent=123)]))

    assert table.splitlines()[2].split()[:4] == ["host-4711-9f3c", "stale", "earthquakes.fetch", "had"]
    assert RUN not in table
    assert "more" not in table


def test_of_very_many_jobs_the_first_are_shown() -> None:
    workers = [a_worker("serving", 15, running=15, silent=1), a_worker("serving", 100, running=200, silent=1)]

    table = shown(workers_table(workers))

    assert table.count("1 min 2 s") == 20
    assert table.endswith("and 195 more: mousetrap workers --json")


def test_no_workers_are_an_invitation() -> None:
    assert shown(workers_table([])) == "no workers: start one with `mousetrap worker TARGET`"
