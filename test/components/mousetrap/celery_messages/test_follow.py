"""Sends on what Celery's own canvas has put into a message."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery, chain, chord, group

from mousetrap.celery_messages import (
    Declared,
    Invocation,
    NotUnderstood,
    Signature,
    after_done,
    after_failed,
    check_follows,
    read_invocation,
    sent_first,
    wire_of,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DECLARED = Declared(tasks={"t.ours": "ours"}, queues=("mousetrap",), routes={"t.mail": "mail"})
_app = Celery("test", broker="memory://", backend="cache+memory://", set_as_current=False)


def s(name: str, *args: Any, **options: Any) -> Any:
    return _app.signature(f"t.{name}", args=args, options=options, app=_app)


def first_of(canvas: Any) -> Invocation:
    """The first message that Celery sends of a canvas, as we read it."""
    with _app.connection() as connection, connection.SimpleQueue("celery") as queue:
        queue.clear()
        canvas.apply_async()
        message = queue.get_nowait()
        message.ack()
    return read_invocation(message.headers, message.content_type, message.body)


def follows(signatures: Sequence[Signature]) -> list[tuple[str, tuple[Any, ...]]]:
    return [(each.task, each.args) for each in signatures]


def test_the_next_of_a_chain_gets_the_result_and_the_rest() -> None:
    call = first_of(chain(s("a", 1), s("b", 2), s("c")))

    (sent,) = after_done(call, 10, DECLARED, NOW)

    assert (sent.task, sent.args, sent.parent_id, sent.root_id) == ("t.b", (10, 2), call.id, call.id)
    assert [each["task"] for each in sent.chain] == ["t.c"]
    assert sent.id == call.chain[-1]["options"]["task_id"]
    assert after_failed(call, DECLARED, NOW) == []


def test_callbacks_get_the_result_and_errbacks_the_id() -> None:
    call = first_of(s("a", link=[s("b", 2), s("c").set(immutable=True)], link_error=[s("bad", 5)]))

    assert follows(after_done(call, 10, DECLARED, NOW))[0] == ("t.b", (10, 2))
    assert follows(after_failed(call, DECLARED, NOW)) == [("t.bad", (call.id, 5))]


def test_an_immutable_signature_does_not_get_the_result() -> None:
    call = first_of(chain(s("a", 1), _app.signature("t.b", args=(2,), immutable=True)))

    assert follows(after_done(call, 10, DECLARED, NOW)) == [("t.b", (2,))]


def test_a_group_at_the_end_is_sent_each() -> None:
    call = first_of(chain(s("a", 1), group(s("b"), s("c", 3))))

    sent = after_done(call, 10, DECLARED, NOW)

    assert follows(sent) == [("t.b", (10,)), ("t.c", (10, 3))]
    assert len({each.id for each in sent}) == 2


def test_what_has_no_id_gets_the_same_one_each_time() -> None:
    call = Invocation(task="t.a", id="i", args=(), kwargs={}, root_id="i", callbacks=({"task": "t.b"},))

    first, again = (after_done(call, 1, DECLARED, NOW)[0].id for _ in range(2))

    assert first == again


@pytest.mark.parametrize(
    ("signature", "queue"),
    [
        (s("other"), "celery"),
        (s("mail"), "mail"),
        (s("ours"), "mousetrap"),
        (s("other", queue="named"), "named"),
        (s("other", routing_key="by_key"), "by_key"),
    ],
)
def test_the_queue_is_the_signature_s_or_a_declared_one(signature: Any, queue: str) -> None:
    call = first_of(chain(s("a"), signature))

    assert after_done(call, 1, DECLARED, NOW)[0].queue == queue


def test_countdown_and_expires_count_from_when_it_is_sent() -> None:
    call = first_of(chain(s("a"), s("b", countdown=10, expires=60)))

    (sent,) = after_done(call, 1, DECLARED, NOW)

    assert (sent.eta, sent.expires) == (NOW + timedelta(seconds=10), NOW + timedelta(seconds=60))


def test_a_member_of_a_group_is_a_call_of_its_own() -> None:
    call = first_of(group(s("a", 1), s("b", 2)))

    check_follows(call)
    assert (call.task, call.args, call.leads_on) == ("t.a", (1,), False)


def test_a_map_is_a_task_of_celery_s_own() -> None:
    def double(n: int) -> int:
        return 2 * n

    call = first_of(_app.task(name="t.double")(double).map([1, 2]))

    assert call.task == "celery.map"


def test_what_leads_to_a_chord_is_refused_before_anything_runs() -> None:
    for canvas in (
        chain(s("a"), chord([s("b"), s("c")], s("d"))),
        chain(s("a"), group(s("b"), s("c")), s("d")),
    ):
        with pytest.raises(NotUnderstood, match="make the chord a pipeline with `gather`"):
            check_follows(first_of(canvas))


@pytest.mark.parametrize(
    "follows_it",
    [
        {"chord": {"task": "t.b"}},
        {"chain": ({"task": 5},)},
        {"callbacks": ({"task": "celery.map", "subtask_type": "xmap"},)},
        {"callbacks": ({"task": "t.b", "options": {"exchange": "other"}},)},
        {"chain": ({"task": "t.b", "options": {"chord": {"task": "t.c"}}},)},
    ],
)
def test_what_cannot_be_sent_on_is_refused(follows_it: dict[str, Any]) -> None:
    call = Invocation(task="t.a", id="i", args=(), kwargs={}, root_id="i", **follows_it)

    with pytest.raises(NotUnderstood):
        check_follows(call)


def test_a_message_that_we_write_is_read_back_and_a_repeat_has_the_same_ids() -> None:
    chained = [Signature(task="t.a", args=(1,)), Signature(task="t.b", queue="q"), Signature(task="t.c")]

    first, again = (sent_first(chained, "job", "run") for _ in range(2))
    wire = wire_of(first)
    call = read_invocation(wire.headers, "application/json", wire.body)

    assert first == again
    assert (call.task, call.args, call.root_id) == ("t.a", (1,), "run")
    (sent,) = after_done(call, 5, Declared(), NOW)
    assert (sent.task, sent.queue, sent.args) == ("t.b", "q", (5,))
    assert len({call.id, *(each["options"]["task_id"] for each in call.chain)}) == 3


def test_a_message_of_ours_has_every_header_of_one_of_celery_s() -> None:
    theirs = _app.amqp.as_task_v2("i", "t.a", (), {}).headers
    ours = wire_of(Signature(task="t.a", id="i")).headers

    assert ours.keys() == theirs.keys()
