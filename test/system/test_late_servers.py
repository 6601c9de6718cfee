"""Tests that processes wait for servers that start later."""

from collections.abc import Sequence

import pytest

from mousetrap.embedded_valkey import EmbeddedValkey
from support.processes import Process
from support.rabbitmq import OwnRabbitMQ
from support.stack import Deploy, Stack, count_lines_with
from support.waiting import until


@pytest.mark.parametrize(
    ("queue_url", "away"), [("streams", ["broker", "store"]), ("rabbitmq", ["store"])], indirect=["queue_url"]
)
def test_all_were_started_before_the_store(
    deploy: Deploy, queue_url: str, own_valkey: EmbeddedValkey, away: list[str]
) -> None:
    own_valkey.kill()
    stack = deploy(queue_url, own_valkey.url)
    workers = stack.start_workers_early()
    until(lambda: _away(stack) == away, f"the API waits for {away}", seconds=60)
    assert _refusal(stack) == ("urn:mousetrap:problem:store-away", ["store"])
    # A worker takes nothing before the store has answered what is paused, so of one server that is both it names the store alone.
    _wait_for_store(workers)
    assert [count_lines_with(worker, "serving") for worker in workers] == [0, 0]

    own_valkey.start()

    _serves(stack, workers)
    _logged_the_store_once(workers)


@pytest.mark.long
def test_all_were_started_before_the_store_and_the_broker(
    deploy: Deploy, own_rabbitmq_url: str, own_rabbitmq: OwnRabbitMQ, own_valkey: EmbeddedValkey
) -> None:
    own_rabbitmq.kill()
    own_valkey.kill()
    stack = deploy(own_rabbitmq_url, own_valkey.url)
    workers = stack.start_workers_early()
    until(lambda: _away(stack) == ["broker", "store"], "the API waits for both")
    _wait_for_broker((*workers, stack.api_process))
    _wait_for_store(workers)
    assert [count_lines_with(worker, "serving") for worker in workers] == [0, 0]

    own_valkey.start()
    until(lambda: _away(stack) == ["broker"], "the API has its store")
    assert _refusal(stack) == ("urn:mousetrap:problem:broker-away", ["broker"])
    own_rabbitmq.start()

    _serves(stack, workers)
    _logged_the_store_once(workers)
    _logged_once((*workers, stack.api_process))


def _away(stack: Stack) -> list[str]:
    """What the API waits for, by its own word."""
    answer = stack.api.get("/health/ready")
    assert answer.status_code == 503
    parts: list[str] = answer.json()["away"]
    assert answer.json()["detail"] == f"waiting for: {', '.join(parts)}"
    return parts


def _refusal(stack: Stack) -> tuple[str, list[str]]:
    """How the API refuses a run: the problem's type, and the parts that it comes from."""
    answer = stack.post()
    assert answer.status_code == 503, answer.text
    problem = answer.json()
    return problem["type"], problem["away"]


def _wait_for_broker(processes: Sequence[Process]) -> None:
    for process in processes:
        process.wait_for_line("cannot be used, trying until it can")


def _wait_for_store(workers: Sequence[Process]) -> None:
    for worker in workers:
        line = worker.wait_for_line("waiting for the store: ")
        assert "cannot reach the store" in line
        assert "MOUSETRAP_STORE_URL" in line


def _logged_the_store_once(workers: Sequence[Process]) -> None:
    for worker in workers:
        worker.wait_for_line("the store answers again", seconds=60)
        worker.wait_for_line("serving")  # a job can be done before that is logged
        # A heartbeat that a busy machine answers late is an outage of its own.
        assert count_lines_with(worker, "waiting for the store: cannot reach the store") == 1
        assert count_lines_with(worker, "serving") == 1


def _logged_once(processes: Sequence[Process]) -> None:
    """Each logged its wait once, and once its end, which it may reach later than its peers."""
    for process in processes:
        process.wait_for_line("can be used again", seconds=60)
        assert count_lines_with(process, "cannot be used, trying until it can") == 1
        assert count_lines_with(process, "can be used again") == 1


def _serves(stack: Stack, workers: Sequence[Process]) -> None:
    until(lambda: stack.api.get("/health/ready").status_code == 200, "the API is ready", seconds=60)
    run_id = stack.submit()
    stack.completed(run_id)
    assert stack.summaries() == [run_id]
    assert all(process.running for process in (*workers, stack.api_process))
