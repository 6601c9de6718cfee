"""Pauses and drains lose nothing and repeat nothing, on both queues."""

import signal
from typing import Any

from mousetrap.embedded_valkey import EmbeddedValkey
from support.clients import answered
from support.feed import Feed
from support.processes import Process
from support.rabbitmq import OwnRabbitMQ
from support.stack import Stack, events, made_by, waiting
from support.waiting import until

RUNS = 200
WHY = {"Mousetrap-Reason": "the database moves"}


def act(stack: Stack, path: str) -> dict[str, Any]:
    found: dict[str, Any] = answered(stack.api, "POST", path, headers=WHY).raise_for_status().json()
    return found


def workers_of(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answered(stack.api, "GET", "/workers").raise_for_status().json()
    return found


def state_of(stack: Stack, worker: Process) -> str:
    (state,) = (it["state"] for it in workers_of(stack) if it["pid"] == worker.pid)
    return str(state)


def begun_otherwise_than_once(runs: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The stages of runs that began no attempt, or several."""
    return [
        (run["id"], stage)
        for run in runs
        for stage in ("fetch", "process")
        if len(events(run, "started", stage)) != 1
    ]


def test_a_pause_during_200_runs_and_a_resume_complete_all_of_them(stack: Stack, queue_url: str) -> None:
    stack.start_workers()
    run_ids = [stack.submit() for _ in range(RUNS // 2)]
    act(stack, "/queues/data_processing/pause")
    run_ids += [stack.submit() for _ in range(RUNS // 2)]

    until(
        lambda: any(it["paused"] == ["data_processing"] for it in workers_of(stack)),
        "the worker of the paused stage takes nothing",
    )
    # The other stage goes on; of the paused one, what had begun is finished, and all else is in its queue.
    until(
        lambda: (
            stack.states().count("completed") + waiting(queue_url, "data_processing")[0] == RUNS
            and waiting(queue_url, "start_fetch") == [0]
        ),
        "each run is completed or waits for the paused stage",
    )
    assert "completed" in stack.states() or waiting(queue_url, "data_processing") == [RUNS]
    act(stack, "/queues/data_processing/resume")

    runs = [stack.completed(run_id) for run_id in run_ids]
    assert begun_otherwise_than_once(runs) == []
    assert sorted(stack.summaries()) == sorted(run_ids)


def test_a_pause_outlives_its_workers_and_its_store(
    stack: Stack, queue_url: str, own_valkey: EmbeddedValkey
) -> None:
    stack.until_ready()
    act(stack, "/queues/start_fetch/pause")
    run_ids = [stack.submit() for _ in range(5)]
    fetch, process = stack.start_workers_early()
    fetch.wait_for_line("serving ")

    fetch.send(signal.SIGKILL)
    fetch.wait()
    own_valkey.kill()
    own_valkey.start()
    stack.until_ready()
    second, _ = stack.start_workers_early()
    second.wait_for_line("paused: start_fetch")

    assert [stack.run(run_id)["state"] for run_id in run_ids] == ["queued"] * 5  # type: ignore[index]
    act(stack, "/queues/start_fetch/resume")
    for run_id in run_ids:
        stack.completed(run_id)
    assert process.running


def test_a_restarted_broker_delivers_no_job_of_a_paused_queue(
    stack_on_own_rabbitmq: Stack, own_rabbitmq_url: str, own_rabbitmq: OwnRabbitMQ
) -> None:
    stack = stack_on_own_rabbitmq
    workers = stack.start_workers()
    act(stack, "/queues/data_processing/pause")
    until(
        lambda: any(it["paused"] == ["data_processing"] for it in workers_of(stack)),
        "the worker of the paused stage takes nothing",
    )
    run_ids = [stack.submit() for _ in range(20)]
    until(lambda: waiting(own_rabbitmq_url, "data_processing") == [20], "all wait for the paused stage")

    own_rabbitmq.restart()
    for process in (*workers, stack.api_process):
        process.wait_for_line("can be used again", seconds=60)
    stack.until_ready()
    run_ids.append(stack.submit())
    until(lambda: waiting(own_rabbitmq_url, "data_processing") == [21], "a new one waits with them")
    assert [events(stack.run(run_id), "started", "process") for run_id in run_ids] == [[]] * 21
    act(stack, "/queues/data_processing/resume")

    assert begun_otherwise_than_once([stack.completed(run_id) for run_id in run_ids]) == []


def test_what_one_of_three_drained_workers_had_finished_is_not_delivered_again(
    stack: Stack, queue_url: str, feed: Feed
) -> None:
    workers = [stack.start("fetch_worker") for _ in range(3)]
    for worker in workers:
        worker.wait_for_line("feeds_list, start_fetch")
    stack.start("process_worker").wait_for_line("serving data_processing")
    run_ids = [stack.submit() for _ in range(RUNS // 2)]
    listed = {it["pid"]: it["name"] for it in workers_of(stack)}
    drained = workers[0]

    act(stack, f"/workers/{listed[drained.pid]}/drain")
    run_ids += [stack.submit() for _ in range(RUNS // 2)]

    runs = [stack.completed(run_id) for run_id in run_ids]
    assert begun_otherwise_than_once(runs) == []
    assert feed.requests == RUNS
    until(lambda: state_of(stack, drained) == "draining", "it is listed as draining")
    last = stack.completed(stack.submit())
    assert not any(made_by(event, drained) for event in events(last, "started", "fetch"))
    act(stack, f"/workers/{listed[drained.pid]}/stop")
    assert drained.wait() == 0
