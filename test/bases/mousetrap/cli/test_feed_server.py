"""Shows that the shipped week is served as an API would serve it."""

import httpx

from mousetrap.cli.feed_server import served_week


def test_the_week_is_served_packed_and_nothing_else_is() -> None:
    with served_week() as url:
        answer = httpx.get(url)
        other = httpx.get(url + "x")

    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Content-Type"].startswith("application/json")
    assert int(answer.headers["Content-Length"]) < len(answer.content)
    assert len(answer.json()["features"]) == 1707
    assert other.status_code == 404
