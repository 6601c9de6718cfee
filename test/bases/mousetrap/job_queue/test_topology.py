"""The topology: nothing accepted is dropped, nothing declared is refused."""

import pytest

from mousetrap.job_queue.topology.topology import DEAD, JOBS, DeclaredQueue, topology
from mousetrap.jobs import QueueOptions, dead_queue, high_queue

QUORUM, CLASSIC = QueueOptions(), QueueOptions(queue_type="classic")


@pytest.mark.parametrize("options", [QUORUM, CLASSIC])
def test_each_name_is_declared_once_and_every_binding_joins_declared_ends(options: QueueOptions) -> None:
    stands = topology(["a", "b", "a"], options)

    exchanges = [exchange.name for exchange in stands.exchanges]
    queues = [queue.name for queue in stands.queues]
    assert len(exchanges) == len(set(exchanges)) and len(queues) == len(set(queues))
    for binding in stands.bindings:
        assert binding.source in exchanges
        assert binding.to in (exchanges if binding.to_exchange else queues)


@pytest.mark.parametrize("options", [QUORUM, CLASSIC])
def test_every_queue_that_passes_messages_on_passes_them_to_a_declared_exchange(
    options: QueueOptions,
) -> None:
    stands = topology(["a"], options)

    targets = {str(queue.arguments["x-dead-letter-exchange"]) for queue in passing_on(stands.queues)}
    assert targets <= {exchange.name for exchange in stands.exchanges}


def test_a_quorum_queue_keeps_what_it_passes_on_until_that_has_arrived() -> None:
    # At-least-once without reject-publish is quietly at-most-once.
    for queue in passing_on(topology(["a"], QUORUM).queues):
        assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"
        assert queue.arguments["x-overflow"] == "reject-publish"


@pytest.mark.parametrize("options", [QUORUM, CLASSIC])
def test_no_queue_drops_its_head_or_expires_what_it_holds_but_the_waiting_ones(options: QueueOptions) -> None:
    for queue in topology(["a"], options).queues:
        assert "x-expires" not in queue.arguments
        assert "x-max-length" not in queue.arguments or queue.arguments["x-overflow"] == "reject-publish"
        assert ("x-message-ttl" in queue.arguments) == queue.name.startswith("mousetrap.delay.")


def test_a_classic_queue_has_no_argument_that_only_quorum_queues_know() -> None:
    for queue in topology(["a"], CLASSIC).queues:
        assert queue.arguments["x-queue-type"] == "classic"
        assert not queue.arguments.keys() & {
            "x-delivery-limit",
            "x-dead-letter-strategy",
            "x-queue-leader-locator",
        }


def test_work_and_dead_queues_are_reached_by_their_names_and_the_dead_one_by_the_works() -> None:
    stands = topology(["a"], QUORUM)

    bound = {(binding.source, binding.key, binding.to) for binding in stands.bindings}
    assert {(JOBS, "a", "a"), (JOBS, "a.dead", "a.dead"), (DEAD, "a", "a.dead")} <= bound
    assert (JOBS, high_queue("a"), high_queue("a")) in bound
    assert stands.names == {"a", high_queue("a"), dead_queue("a")}


def test_a_high_queue_is_as_its_stages_and_has_no_dead_queue_of_its_own() -> None:
    queues = {queue.name: queue.arguments for queue in topology(["a"], QUORUM).queues}

    assert queues[high_queue("a")] == queues["a"]
    assert dead_queue(high_queue("a")) not in queues


def test_the_limit_of_a_work_queue_is_the_options() -> None:
    (work, *_) = topology(["a"], QueueOptions(max_length=7, max_bytes=9)).queues
    (unbound, *_) = topology(["a"], QueueOptions(max_bytes=0)).queues

    assert (work.name, work.arguments["x-max-length"], work.arguments["x-max-length-bytes"]) == ("a", 7, 9)
    assert "x-max-length-bytes" not in unbound.arguments


def passing_on(queues: tuple[DeclaredQueue, ...]) -> list[DeclaredQueue]:
    return [queue for queue in queues if "x-dead-letter-exchange" in queue.arguments]


@pytest.mark.parametrize("queue", ["a", high_queue("a")])
def test_a_consumer_declares_its_queue_with_all_that_this_refers_to_and_nothing_more(queue: str) -> None:
    whole = topology(["a", "b"], QUORUM)

    part = whole.part(queue)

    assert {each.name for each in part.queues} == {queue, dead_queue("a")}
    assert all(each in whole.queues for each in part.queues)
    assert part.bindings == tuple(each for each in whole.bindings if each.to in (queue, dead_queue("a")))
    assert {each.source for each in part.bindings} == {each.name for each in part.exchanges}
    assert {each.arguments.get("x-dead-letter-exchange", DEAD) for each in part.queues} == {DEAD}
