"""What becomes of an answer by its status and its Retry-After."""

import httpx
import pytest

from mousetrap.earthquakes import FeedRefused, FeedUnavailable
from mousetrap.fetch_data.status import check_status, retry_after

_DATE = "Wed, 07 Feb 2018 01:49:14 GMT"


def _answer(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://feed.example/week?key=hidden"))


def test_an_answer_of_200_is_read() -> None:
    check_status(_answer(200))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_server_in_trouble_is_asked_again_later(status: int) -> None:
    with pytest.raises(FeedUnavailable, match=f"https://feed.example/week answered {status}"):
        check_status(_answer(status))


@pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 400, 401, 403, 404, 410, 451])
def test_any_other_answer_is_refused(status: int) -> None:
    with pytest.raises(FeedRefused, match=f"https://feed.example/week answered {status}"):
        check_status(_answer(status))


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "99999999999999999999999999"}, 3600.0),
        ({"Retry-After": "Wed, 07 Feb 2018 01:51:14 GMT", "Date": _DATE}, 120.0),
        ({"Retry-After": "Wed, 07 Feb 2018 01:00:00 GMT", "Date": _DATE}, 0.0),
        ({"Retry-After": "Sun, 07 Feb 2038 01:49:14 GMT", "Date": _DATE}, 3600.0),
        ({"Retry-After": "Wed, 07 Feb 2018 01:51:14 -0000", "Date": _DATE}, None),
        ({"Retry-After": "Wed, 07 Feb 2018 01:51:14 GMT"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1e3"}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": "soon", "Date": _DATE}, None),
        ({}, None),
    ],
)
def test_the_pause_that_a_server_asks_for(headers: dict[str, str], pause: float | None) -> None:
    assert retry_after(httpx.Headers(headers, encoding="utf-8")) == pause
