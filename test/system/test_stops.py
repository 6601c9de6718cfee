"""Tests how workers stop: what runs is finished, or handed back."""

import signal

from support.feed import Feed
from support.processes import Process
from support.stack import Stack, events, made_by, waiting
from support.waiting import until

RUNNING, WAITING = 2, 3


def test_a_busy_worker_finishes_what_it_runs_and_leaves_what_waits_to_the_next(
    stack: Stack, queue_url: str, feed: Feed
) -> None:
    first, run_ids = _busy_worker(stack, feed)

    first.send(signal.SIGTERM)
    _until_waiting(queue_url, WAITING)
    feed.release()
    assert first.wait() == 0
    assert feed.requests == RUNNING

    second, _ = stack.start_workers()
    runs = [stack.completed(run_id) for run_id in run_ids]
    assert feed.requests == RUNNING + WAITING
    started = [event for run in runs for event in events(run, "started", "fetch")]
    assert [made_by(event, first) for event in started].count(True) == RUNNING
    assert [made_by(event, second) for event in started].count(True) == WAITING
    assert sorted(stack.summaries()) == sorted(run_ids)


def test_a_second_signal_ends_a_busy_worker_at_once_and_the_next_one_does_its_jobs(
    stack: Stack, queue_url: str, feed: Feed
) -> None:
    first, run_ids = _busy_worker(stack, feed)

    first.send(signal.SIGTERM)
    _until_waiting(queue_url, WAITING)
    first.send(signal.SIGTERM)
    assert first.wait() == 75
    _until_waiting(queue_url, RUNNING + WAITING)

    feed.release()
    stack.start_workers()
    runs = [stack.completed(run_id) for run_id in run_ids]
    assert feed.requests == RUNNING + RUNNING + WAITING
    handed_back = [event for run in runs for event in events(run, "handed_back", "fetch")]
    assert [made_by(event, first) for event in handed_back] == [True] * RUNNING
    assert sorted(stack.summaries()) == sorted(run_ids)


def _busy_worker(stack: Stack, feed: Feed) -> tuple[Process, list[str]]:
    """A fetch worker that runs as much as it may and holds more, and the runs of all that."""
    worker = stack.start("fetch_worker", MOUSETRAP_CONCURRENCY=str(RUNNING), MOUSETRAP_PREFETCH="20")
    feed.hold()
    run_ids = [stack.submit() for _ in range(RUNNING + WAITING)]
    feed.wait_for_requests(RUNNING)
    return worker, run_ids


def _until_waiting(queue_url: str, count: int) -> None:
    until(lambda: waiting(queue_url, "start_fetch") == [count], f"{count} jobs are back in the queue")
