"""Celery's own worker and client work with ours on one broker."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import chain

from support.celery_side import BothSides
from support.processes import Process


@pytest.fixture
def sides(
    start_base: Callable[..., Process], tmp_path: Path, broker_url: str, store_url: str
) -> Iterator[BothSides]:
    both = BothSides(start_base, tmp_path, broker_url, store_url)
    yield both
    both.close()


def test_a_delay_of_a_celery_client_is_done_by_our_worker_once(sides: BothSides) -> None:
    sides.start_worker()

    @sides.celery.task(name="shop.triple")  # type: ignore[untyped-decorator]
    def triple(n: int) -> None:
        """Celery's side of it, which its workers do no more."""

    sent = triple.delay(5)  # before anyone takes it
    sides.start_taking()

    assert sides.result(sent.id) == 15

    triple.apply_async((5,), task_id=sent.id)
    last = triple.apply_async(kwargs={"n": 6}, time_limit=1.5)
    assert sides.result(last.id) == 18
    assert sides.done() == ["triple 5", "triple 6"]


def test_the_priority_of_a_celery_call_is_its_run_s(sides: BothSides) -> None:
    sides.start_worker()
    sides.start_taking()
    triple = sides.task("triple")

    given: dict[int | None, int] = {None: 4, 2: 4, 7: 7, 9: 9, 255: 9}
    sent = {there: triple.clone((5,)).apply_async(priority=there).id for there in given}
    followed = triple.clone((6,)).apply_async(priority=9, link=sides.task("keep", "celery")).id

    for there, run_id in sent.items():
        assert sides.result(run_id) == 15 and sides.priority(run_id) == given[there]
    assert sides.result(followed) == 18 and sides.priority(followed) == 9


def test_a_caller_with_rpc_gets_its_result_and_its_error(sides: BothSides) -> None:
    sides.start_worker()
    sides.start_taking()

    with sides.waiting_client() as client:
        done, failed = (
            client.send_task(f"shop.{name}", (5,), queue="mousetrap") for name in ("triple", "fail")
        )
        assert done.get(timeout=60) == 15
        with pytest.raises(ValueError, match="5 is refused"):
            failed.get(timeout=60)
        triple, again = (client.signature("shop.triple", args=args, queue="mousetrap") for args in ((5,), ()))
        assert chain(triple, again, app=client).delay().get(timeout=60) == 45
        fail = client.signature("shop.fail", args=(6,), queue="mousetrap")
        unreached = chain(fail, again, app=client).delay()
        with pytest.raises(ValueError, match="6 is refused"):
            client.AsyncResult(unreached.id).get(timeout=60)


def test_a_chain_goes_from_celery_to_us_and_back_and_from_us_to_celery_and_back(sides: BothSides) -> None:
    sides.start_worker()
    sides.start_celery()
    sides.start_taking()

    chain(
        sides.task("double", "celery").clone((1,)), sides.task("triple"), sides.task("keep", "celery")
    ).delay()
    sides.wait_done("keep 6")
    twice = {"task_id": "sent-twice", "link": sides.task("keep", "celery").set(task_id="kept-once")}
    for _ in range(2):  # as Celery does where a worker dies between sending on and acknowledging
        sides.task("triple").clone((3,)).apply_async(**twice)
    sides.wait_done("keep 9")
    order = sides.client.submit("order", 10)
    assert order.wait(60)  # the id of Celery's task
    sides.wait_done("triple 20")

    assert sides.done() == [
        *("double 1", "triple 2", "keep 6"),
        *("triple 3", "keep 9"),
        *("first 10", "double 10", "triple 20"),
    ]


def test_killed_in_the_middle_a_chain_across_both_sides_goes_on_and_nothing_is_done_twice_but_what_was_killed(
    sides: BothSides,
) -> None:
    ours, celery, taking = sides.start_worker(), sides.start_celery(), sides.start_taking()

    sides.hold("double")
    chain(
        sides.task("double", "celery").clone((1,)), sides.task("triple"), sides.task("keep", "celery")
    ).delay()
    sides.wait_done("double 1")
    celery.kill()
    sides.release("double")
    sides.hold("triple")
    sides.start_celery()
    sides.wait_done("triple 2")
    for each in (ours, taking):
        each.kill()
    sides.release("triple")
    sides.start_worker()
    sides.start_taking()
    sides.wait_done("keep 6")

    assert sides.done() == ["double 1", "double 1", "triple 2", "triple 2", "keep 6"]


def test_what_is_not_understood_is_a_dead_letter_with_advice_and_done_once_that_is_followed(
    sides: BothSides,
) -> None:
    sides.start_worker()
    sides.start_celery()
    taking = sides.start_taking()

    sides.task("unknown").clone((7,)).delay()
    sides.task("triple").clone((1,)).apply_async(serializer="pickle")
    sides.task("fail").clone((4,)).apply_async(link=sides.task("keep", "celery"))
    letters = sides.letters(4)

    assert "no pipeline is declared for the task 'shop.unknown'" in letters["from_celery shop.unknown"]
    assert 'task_serializer = "json"' in letters["from_celery shop.triple"]
    assert "redrive that run's dead letter, and then this one" in letters["from_celery shop.fail"]
    assert "4 is refused" in letters["moved_fail fail"]

    (sides.folder / "repaired").touch()
    declared = sides.folder / "declared.toml"
    declared.write_text(declared.read_text() + '"shop.unknown" = "triple"\n')
    taking.terminate()
    sides.start_taking()
    sides.redrive("moved_fail")
    sides.redrive("from_celery")
    sides.wait_done("keep 4")
    sides.wait_done("triple 7")

    assert list(sides.letters(1)) == ["from_celery shop.triple"]
