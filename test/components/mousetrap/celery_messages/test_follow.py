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
    waited_for,
    wire_of,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DECLARED = Declared(tasks={"t.ours": "ours"}, queues=("mousetrap",), routes={"t.mail": "mail"})
CHAIN = {"task": "celery.chain", "subtask_type": "chain", "kwargs": {"tasks": [{"task": "t.b"}]}}
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


@pytest.mark.parametrize("place", ["link", "group"])
def test_a_chain_in_a_link_or_a_group_is_its_first_with_the_rest_as_its_chain(place: str) -> None:
    nested = chain(s("b", 2), s("c"), s("d"))
    call = first_of(s("a", link=[nested]) if place == "link" else chain(s("a"), group(s("e"), nested)))

    check_follows(call)
    sent = after_done(call, 10, DECLARED, NOW)

    assert follows(sent)[-1] == ("t.b", (10, 2))
    assert [each["task"] for each in sent[-1].chain] == ["t.d", "t.c"]
    assert len({each.id for each in sent}) == len(sent)


def test_what_is_left_of_a_chain_follows_a_chain_in_it() -> None:
    nested = {**CHAIN, "kwargs": {"tasks": [{"task": "t.b"}, {"task": "t.c"}]}}
    call = Invocation(task="t.a", id="i", args=(), kwargs={}, root_id="i", chain=({"task": "t.d"}, nested))

    (sent,) = after_done(call, 10, DECLARED, NOW)

    assert sent.task == "t.b"
    assert [each["task"] for each in sent.chain] == ["t.d", "t.c"]


def test_where_its_sender_waits_for_a_chain_its_members_are_sent_with_that() -> None:
    call = first_of(chain(s("a"), s("b", priority=7)))

    (sent,) = after_done(call, 1, DECLARED, NOW)

    assert sent.reply_to == _app.thread_oid
    assert sent.priority == 7


def test_who_waits_for_the_end_of_a_chain_learns_that_one_before_it_failed() -> None:
    call = first_of(chain(s("a"), s("b"), s("c")))

    assert waited_for(call, True) == []  # read without its reply_to
    assert waited_for(call, False) == [(each["options"]["task_id"], _app.thread_oid) for each in call.chain]


def test_what_has_no_id_gets_the_same_one_each_time() -> None:
    call = Invocation(task="t.a", id="i", args=(), kwargs={}, root_id="i", callbacks=({"task": "t.b"},))

    first, again = (after_done(call, 1, DECLARED, NOW)[0].id for _ in range(2))

    assert first == again


def test_errbacks_and_callbacks_of_one_call_have_ids_of_their_own() -> None:
    it = ({"task": "t.b"},)
    call = Invocation(task="t.a", id="i", args=(), kwargs={}, root_id="i", callbacks=it, errbacks=it)

    (failed,), (done,) = after_failed(call, DECLARED, NOW), after_done(call, 1, DECLARED, NOW)

    assert failed.id != done.id


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


def test_times_that_kombu_marks_are_read() -> None:
    call = first_of(chain(s("a"), s("b", eta=NOW, expires=NOW + timedelta(hours=1))))

    check_follows(call)
    (sent,) = after_done(call, 1, DECLARED, NOW)

    assert (sent.eta, sent.expires) == (NOW, NOW + timedelta(hours=1))


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
        {"callbacks": ({"task": "celery.group", "subtask_type": "group", "kwargs": {"tasks": 5}},)},
        {"callbacks": ({"task": "celery.group", "subtask_type": "group", "kwargs": {"tasks": None}},)},
        {"callbacks": ({**CHAIN, "kwargs": {"tasks": [{"task": "t.b"}, {"task": 5}]}},)},
        {"callbacks": ({**CHAIN, "options": {"link": [{"task": "t.c"}]}},)},
        {"callbacks": ({"task": "t.b", "options": {"task_id": 256 * "i"}},)},
        {"callbacks": ({"task": "t.b", "options": {"reply_to": 256 * "q"}},)},
        {"callbacks": ({"task": "t.b", "options": {"countdown": 1e20}},)},
        {"callbacks": ({"task": "t.b", "options": {"expires": -1e300}},)},
        {"callbacks": ({"task": "t.b", "options": {"eta": {"__type__": "datetime", "__value__": [5]}}},)},
        {"callbacks": ({"task": "t.b", "options": {"priority": 256}},)},
        {"id": 256 * "i"},
    ],
)
def test_what_cannot_be_sent_on_is_refused(follows_it: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"task": "t.a", "id": "i", "args": (), "kwargs": {}, "root_id": "i"}
    call = Invocation(**plain | follows_it)

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


def test_a_member_of_a_chain_that_we_write_keeps_its_times_and_what_follows_it() -> None:
    it = ({"task": "t.d"},)
    member = Signature(
        task="t.b", eta=NOW, expires=NOW + timedelta(hours=1), priority=7, callbacks=it, errbacks=it
    )

    wire = wire_of(sent_first([Signature(task="t.a"), member], "job", "run"))
    (sent,) = after_done(read_invocation(wire.headers, "application/json", wire.body), 1, DECLARED, NOW)

    assert (sent.eta, sent.expires, sent.priority) == (member.eta, member.expires, 7)
    assert (tuple(sent.callbacks), tuple(sent.errbacks)) == (it, it)


def test_a_message_of_ours_has_every_header_of_one_of_celery_s() -> None:
    theirs = _app.amqp.as_task_v2("i", "t.a", (), {}).headers
    ours = wire_of(Signature(task="t.a", id="i")).headers

    assert ours.keys() == theirs.keys()
