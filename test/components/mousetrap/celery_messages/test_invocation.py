"""Reads messages as Celery writes them, and refuses others."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from kombu.serialization import dumps

from mousetrap.celery_messages import NotUnderstood, kept_headers, read_invocation, run_priority

JSON = "application/json"
_app = Celery("test", set_as_current=False)


def written(*args: Any, serializer: str = "json", **options: Any) -> tuple[dict[str, Any], str, bytes]:
    """The headers, the content type and the body of a message, by Celery's own code."""
    kwargs = options.pop("kwargs", {})
    message = _app.amqp.as_task_v2("an-id", "shop.resize", args, kwargs, **options)
    content_type, _, body = dumps(message.body, serializer=serializer)  # type: ignore[no-untyped-call]
    return message.headers, content_type, body if isinstance(body, bytes) else body.encode()


def test_a_call_is_read_as_celery_writes_it() -> None:
    eta = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=1)))

    call = read_invocation(
        *written("a.png", kwargs={"width": 3}, eta=eta, expires=60, retries=2, root_id="r")
    )

    assert (call.task, call.id, call.args, call.kwargs) == ("shop.resize", "an-id", ("a.png",), {"width": 3})
    assert (call.retries, call.root_id, call.eta) == (2, "r", eta)
    assert call.expires and call.expires > datetime.now(UTC)
    assert not call.leads_on


def test_values_that_kombu_marks_are_read_as_contracts_have_them() -> None:
    marked = (date(2026, 1, 2), datetime(2026, 1, 2, 3), UUID(int=5), Decimal("1.5"), b"abc", b"\xff")

    call = read_invocation(*written({"in": [*marked]}))

    assert call.args == ({"in": ["2026-01-02", "2026-01-02T03:00:00", f"{5:032x}", "1.5", "YWJj", "/w=="]},)


def test_a_time_without_a_zone_is_utc() -> None:
    headers, content_type, body = written()

    call = read_invocation({**headers, "eta": "2026-01-01T12:00:00"}, content_type, body)

    assert call.eta == datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("there", "here"), [(0, 4), (1, 4), (4, 4), (5, 5), (6, 6), (9, 9), (10, 9), (255, 9)]
)
def test_a_message_s_priority_is_one_of_our_ten(there: int, here: int) -> None:
    assert read_invocation(*written(), priority=there).priority == here


def test_what_goes_before_another_in_celery_s_queue_comes_after_it_in_none_of_ours() -> None:
    levels = [run_priority(there) for there in range(256)]
    assert levels == sorted(levels)


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"content_type": "application/x-python-serialize"}, 'task_serializer = "json"'),
        ({"content_type": ""}, 'task_serializer = "json"'),
        ({"headers": {}}, "task_protocol = 2"),
        ({"headers": {"task": 5, "id": "i"}}, "task_protocol = 2"),
        ({"headers": {"task": "t", "id": "i", "compression": "application/x-gzip"}}, "task_compression"),
        ({"headers": {"task": "t", "id": "i", "eta": "soon"}}, "no time in ISO 8601"),
        ({"body": b"{}"}, r"no JSON of \[args, kwargs, embed\]"),
        ({"body": b"[[NaN], {}, {}]"}, r"no JSON of \[args, kwargs, embed\]"),
        ({"body": b"\xff"}, r"no JSON of \[args, kwargs, embed\]"),
        ({"body": b"[" * 100_000}, r"no JSON of \[args, kwargs, embed\]"),
    ],
)
def test_what_is_not_understood_has_advice(change: dict[str, Any], advice: str) -> None:
    headers, content_type, body = written(1)
    message = {"headers": headers, "content_type": content_type, "body": body, **change}

    with pytest.raises(NotUnderstood, match=advice):
        read_invocation(**message)


@given(st.binary(), st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.binary()))
def test_any_message_is_read_or_refused(body: bytes, headers: dict[str, Any]) -> None:
    kept_headers(headers)
    for given_headers in (headers, {**headers, "task": "t", "id": "i"}):
        try:
            read_invocation(given_headers, JSON, body)
        except NotUnderstood as error:
            assert str(error)


def test_headers_that_differ_when_a_task_is_sent_again_are_not_kept() -> None:
    first, again = written(1)[0], {**written(1)[0], "origin": "gen9@other", "x-delivery-count": 3}

    assert kept_headers(first) == kept_headers(again)
    assert kept_headers({"other": "system", "raw": b"\xff"}) == {"other": "system", "raw": "b'\\xff'"}
