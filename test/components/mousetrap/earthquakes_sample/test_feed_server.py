"""Tests the server of the week of earthquakes."""

import socket

import httpx
import pytest

from mousetrap.earthquakes_sample import served_week


def test_the_week_is_served_packed_and_nothing_else_is() -> None:
    with served_week() as url:
        answer = httpx.get(url, timeout=60)
        other = httpx.get(url + "x", timeout=60)

    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Content-Type"].startswith("application/json")
    assert int(answer.headers["Content-Length"]) < len(answer.content)
    assert len(answer.json()["features"]) == 1707
    assert other.status_code == 404


@pytest.mark.parametrize("port", [70_000, -1])
def test_a_port_that_is_none_is_replaced(port: int) -> None:
    with served_week(port) as url:
        assert httpx.get(url, timeout=60).status_code == 200


def test_the_port_is_the_wanted_one_unless_it_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with served_week(port) as url:
            assert httpx.URL(url).port != port

    with served_week(port) as url:
        assert httpx.URL(url).port == port
