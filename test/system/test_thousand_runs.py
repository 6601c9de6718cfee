"""Tests a thousand runs while the workers are killed repeatedly."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from mousetrap.jobs import dead_queue
from support.feed import Feed, one_event, served
from support.stack import Stack, waiting
from support.waiting import until

RUNS, CLIENTS = 1_000, 50
#: Summaries between the start of the workers, or of half the clients' calls, and the workers' death.
SOME = 100
QUEUES = ("start_fetch", "data_processing")


@pytest.fixture
def feed() -> Iterator[Feed]:
    """A small one: these tests are about delivery."""
    with served(one_event()) as feed:
        yield feed


@pytest.mark.long
def test_a_thousand_runs_are_completed_once_each_though_both_workers_are_killed_twice(
    stack: Stack, queue_url: str
) -> None:
    workers = stack.start_workers()
    with ThreadPoolExecutor(CLIENTS) as clients:
        accepted = []
        for half in (range(RUNS // 2), range(RUNS // 2, RUNS)):
            accepted += [clients.submit(_submit, stack, f"run {number}") for number in half]
            _until_stored(stack, len(stack.summaries()) + SOME)
            for worker in workers:
                worker.kill()
            workers = stack.start_workers()
        run_ids = sorted(run.result() for run in accepted)

    _until_stored(stack, RUNS)
    until(lambda: stack.states() == ["completed"] * RUNS, "all runs are completed", 60)
    assert sorted(stack.summaries()) == run_ids
    assert [worker.terminate() for worker in workers] == [0, 0]
    assert waiting(queue_url, *QUEUES, *map(dead_queue, QUEUES)) == [0, 0, 0, 0]


def _submit(stack: Stack, key: str) -> str:
    """Starts a run as the API's documentation advises: again with the same key until there is a good answer."""

    def answer() -> str | None:
        try:
            response = stack.post(**{"Idempotency-Key": key})
        except httpx.TransportError:
            return None
        if response.status_code >= 500:
            return None
        assert response.status_code == 202, response.text
        return str(response.json()["run_id"])

    return until(answer, f"{key} is accepted", 60)


def _until_stored(stack: Stack, count: int) -> None:
    until(lambda: len(stack.summaries()) >= count, f"{count} summaries", 120)
