"""Tests that a worker's death costs its run one more attempt."""

from mousetrap.embedded_valkey import EmbeddedValkey
from support.feed import Feed
from support.processes import Process
from support.stack import Stack, events, made_by
from support.waiting import until


def test_a_fetch_worker_killed_in_the_middle_of_a_fetch(stack: Stack, feed: Feed) -> None:
    first, _ = stack.start_workers()
    feed.hold()
    run_id = stack.submit()
    feed.wait_for_requests(1)

    first.kill()
    second = stack.start("fetch_worker")
    feed.wait_for_requests(2)
    feed.release()

    _started_by_both_and_kept_once(stack, run_id, "fetch", first, second)


def test_a_process_worker_killed_before_it_could_store_its_summary(stack: Stack) -> None:
    _, first = stack.start_workers()
    with stack.locked_database():
        run_id = stack.submit()
        stack.until_event(run_id, "started", "process")

        first.kill()
    second = stack.start("process_worker")

    _started_by_both_and_kept_once(stack, run_id, "process", first, second)


def test_a_process_worker_killed_after_it_stored_its_summary_and_before_it_could_report_it(
    stack: Stack, own_valkey: EmbeddedValkey
) -> None:
    _, first = stack.start_workers()
    with stack.locked_database():
        run_id = stack.submit()
        stack.until_event(run_id, "started", "process")
        own_valkey.kill()
    until(lambda: stack.summaries() == [run_id], "the summary is stored")
    first.wait_for_line("waiting to record outcomes")

    first.kill()
    own_valkey.start()
    second = stack.start("process_worker")

    _started_by_both_and_kept_once(stack, run_id, "process", first, second)


def _started_by_both_and_kept_once(
    stack: Stack, run_id: str, stage: str, first: Process, second: Process
) -> None:
    run = stack.completed(run_id)
    earlier, later = events(run, "started", stage)
    assert made_by(earlier, first)
    assert made_by(later, second)
    (finished,) = events(run, "finished", stage)
    assert made_by(finished, second)
    assert stack.summaries() == [run_id]
