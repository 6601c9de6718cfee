"""Tests that an outage of a broker or store costs only time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from mousetrap.embedded_valkey import EmbeddedValkey
from support.feed import Feed
from support.processes import Process
from support.rabbitmq import OwnRabbitMQ
from support.stack import Stack, count_lines_with, events, made_by
from support.waiting import until


def restart(broker: OwnRabbitMQ) -> None:
    broker.restart()


@contextmanager
def out_of_memory(broker: OwnRabbitMQ) -> Iterator[None]:
    """The broker delivers but takes nothing, as it does when its memory is short."""
    broker.rabbitmqctl("set_vm_memory_high_watermark", "0")
    try:
        yield
    finally:
        broker.rabbitmqctl("set_vm_memory_high_watermark", "0.4")  # takes a second before it does it


def blocked(broker: OwnRabbitMQ, worker: Process) -> bool:
    """Whether the broker has ceased to read from the worker."""
    connections = broker.rabbitmqctl("list_connections", "client_properties", "state").splitlines()
    return any(f":{worker.pid} publish" in line and line.endswith("blocked") for line in connections)


def kill_and_start(broker: OwnRabbitMQ) -> None:
    broker.kill()
    broker.start()


@pytest.mark.long
@pytest.mark.parametrize("interrupt", [restart, kill_and_start])
def test_a_broker_that_comes_back_while_a_handler_works(
    stack_on_own_rabbitmq: Stack,
    own_rabbitmq: OwnRabbitMQ,
    feed: Feed,
    interrupt: Callable[[OwnRabbitMQ], None],
) -> None:
    stack = stack_on_own_rabbitmq
    workers = stack.start_workers()
    feed.hold()
    run_id = stack.submit()
    feed.wait_for_requests(1)

    interrupt(own_rabbitmq)
    for process in (*workers, stack.api_process):
        process.wait_for_line("can be used again", seconds=60)
    feed.release()

    _went_through_at_the_first_attempt(stack, [run_id], feed, workers)
    _logged_once("cannot be used, trying", (*workers, stack.api_process))


@pytest.mark.long
def test_a_broker_that_comes_back_after_the_handler_has_finished(
    stack_on_own_rabbitmq: Stack, own_rabbitmq: OwnRabbitMQ, feed: Feed
) -> None:
    stack = stack_on_own_rabbitmq
    workers = stack.start_workers()
    feed.hold()
    run_id = stack.submit()
    feed.wait_for_requests(1)

    own_rabbitmq.kill()
    feed.release()
    stack.until_event(run_id, "finished", "fetch")
    own_rabbitmq.start()

    _went_through_at_the_first_attempt(stack, [run_id], feed, workers)


@pytest.mark.long
def test_a_broker_that_takes_no_messages_when_a_handler_finishes(
    stack_on_own_rabbitmq: Stack, own_rabbitmq: OwnRabbitMQ, feed: Feed
) -> None:
    stack = stack_on_own_rabbitmq
    # Claims are renewed between the outcome and its publishing, and the delivery stands all the time. One job at a time,
    # for a broker takes what comes at once before it blocks.
    workers = stack.start_workers(MOUSETRAP_LEASE_SECONDS="0.3", MOUSETRAP_CONCURRENCY="1")
    feed.hold()
    run_ids = [stack.submit() for _ in range(5)]
    feed.wait_for_requests(1)

    with out_of_memory(own_rabbitmq):
        feed.release()
        until(lambda: blocked(own_rabbitmq, workers[0]), "the fetch worker cannot publish")

    _went_through_at_the_first_attempt(stack, run_ids, feed, workers)


@pytest.mark.long
def test_a_worker_that_dies_with_its_outcome_on_record_leaves_only_the_publishing_to_the_next(
    stack_on_own_rabbitmq: Stack, own_rabbitmq: OwnRabbitMQ, feed: Feed
) -> None:
    stack = stack_on_own_rabbitmq
    first, _ = stack.start_workers()
    feed.hold()
    run_id = stack.submit()
    feed.wait_for_requests(1)
    own_rabbitmq.kill()
    feed.release()
    stack.until_event(run_id, "finished", "fetch")

    first.kill()
    own_rabbitmq.start()
    stack.start("fetch_worker")

    run = stack.completed(run_id)
    (started,) = events(run, "started", "fetch")
    assert made_by(started, first)
    assert feed.requests == 1
    assert stack.summaries() == [run_id]


@pytest.mark.parametrize("end", [EmbeddedValkey.stop, EmbeddedValkey.kill])
def test_a_store_that_is_away_when_a_handler_finishes(
    stack: Stack, own_valkey: EmbeddedValkey, feed: Feed, end: Callable[[EmbeddedValkey], None]
) -> None:
    workers = stack.start_workers()
    feed.hold()
    run_ids = [stack.submit() for _ in range(5)]  # all wait for the store, and the worker logs it once
    feed.wait_for_requests(5)

    end(own_valkey)
    feed.release()
    # The feed is so large that it is put before its outcome is recorded.
    workers[0].wait_for_line("waiting to put payloads: cannot reach the store at 127.0.0.1")
    own_valkey.start()

    _went_through_at_the_first_attempt(stack, run_ids, feed, workers)
    _logged_once("waiting to put payloads", workers[:1])
    _logged_once("able to put payloads again", workers[:1])


def test_a_store_that_comes_back_while_a_handler_works(
    stack: Stack, own_valkey: EmbeddedValkey, feed: Feed
) -> None:
    workers = stack.start_workers()
    feed.hold()
    run_id = stack.submit()
    feed.wait_for_requests(1)

    own_valkey.restart()
    feed.release()

    _went_through_at_the_first_attempt(stack, [run_id], feed, workers)


def _went_through_at_the_first_attempt(
    stack: Stack, run_ids: Sequence[str], feed: Feed, workers: Sequence[Process]
) -> None:
    """An attempt that was under way took its message over when that was delivered again."""
    for run in map(stack.completed, run_ids):
        for worker, stage in zip(workers, ("fetch", "process"), strict=True):
            (started,) = events(run, "started", stage)
            assert made_by(started, worker)
    assert feed.requests == len(run_ids)
    assert sorted(stack.summaries()) == sorted(run_ids)
    assert all(process.running for process in (*workers, stack.api_process))


def _logged_once(text: str, processes: Sequence[Process]) -> None:
    for process in processes:
        process.wait_for_line(text)  # which may be read later than what it reports is seen
    assert [count_lines_with(process, text) for process in processes] == [1] * len(processes)
