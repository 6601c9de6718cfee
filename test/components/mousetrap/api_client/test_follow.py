"""Following a run on a server that loses connections."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from mousetrap.api_client.client import Api
from mousetrap.api_client.errors import Misused, Unreachable
from mousetrap.api_client.follow import follow
from mousetrap.shapes import Event, Progress

Serving = Callable[..., AbstractContextManager[tuple[str, list[str | None]]]]


def event(number: int, kind: str) -> str:
    return f'event: {kind}\nid: {number}-0\ndata: {{"id":"{number}-0","kind":"{kind}","at_ms":{number}}}\n\n'


PROGRESS = 'event: progress\ndata: {"stage":"fetch","done":1}\n\n'
PROBLEM = '{"title":"The store is away","detail":"wait","status":503}'


def followed(url: str, pauses: list[float]) -> list[str]:
    with Api(url) as api:
        return [
            event.kind if isinstance(event, Event) else "progress"
            for event in follow(api, "r", pauses.append)
        ]


def test_a_run_is_followed_until_its_last_event(serving: Serving) -> None:
    with serving((200, event(1, "accepted") + PROGRESS + event(2, "completed") + event(3, "never"))) as (
        url,
        asked,
    ):
        assert followed(url, []) == ["accepted", "progress", "completed"]
    assert asked == [None]


def test_a_lost_connection_is_taken_up_after_the_last_event_that_was_whole(serving: Serving) -> None:
    cut = event(3, "finished")[:-10]
    with serving(
        (200, event(1, "accepted") + event(2, "started") + cut),
        (200, ""),
        (200, event(3, "finished") + event(4, "failed")),
    ) as (url, asked):
        pauses: list[float] = []
        assert followed(url, pauses) == ["accepted", "started", "finished", "failed"]
    assert asked == [None, "2-0", "2-0"]
    assert pauses == [0.2, 0.5]


def test_an_api_that_is_not_ready_is_asked_again(serving: Serving) -> None:
    with serving((503, PROBLEM), (200, event(1, "completed"))) as (url, _):
        assert followed(url, []) == ["completed"]


def test_progress_renews_the_timeout(serving: Serving) -> None:
    with serving(
        (503, PROBLEM), (200, event(1, "accepted")), (503, PROBLEM), (200, event(2, "completed"))
    ) as (url, _):
        pauses: list[float] = []
        followed(url, pauses)
    assert pauses == [0.2, 0.2, 0.5]


def test_the_timeout_ends_with_the_api_s_last_response(serving: Serving) -> None:
    with (
        serving(*[(503, PROBLEM)] * 10) as (url, asked),
        pytest.raises(Unreachable, match="The store is away: wait"),
    ):
        followed(url, [])
    assert len(asked) == 10


def test_an_unknown_run_is_not_waited_for(serving: Serving) -> None:
    with (
        serving((404, '{"title":"There is no such run"}')) as (url, asked),
        pytest.raises(Misused, match="no such run"),
    ):
        followed(url, [])
    assert len(asked) == 1


def test_progress_is_read_as_such(serving: Serving) -> None:
    with serving((200, PROGRESS + event(1, "completed"))) as (url, _), Api(url) as api:
        first, _last = follow(api, "r")
    assert first == Progress(stage="fetch", done=1)
