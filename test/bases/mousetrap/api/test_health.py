"""Health reports whether the process lives, and which part it waits for."""

from collections.abc import Callable

import httpx
import pytest

from support.ports import closed_port

Serve = Callable[..., httpx.Client]


def closed() -> str:
    """An address without a server."""
    port = closed_port()
    return f"valkey://127.0.0.1:{port}/0"


def test_with_broker_and_store_it_is_live_and_ready(api: httpx.Client) -> None:
    assert api.get("/health/live").json() == {"status": "live"}
    assert api.get("/health/ready").json() == {"status": "ready"}


@pytest.mark.parametrize(
    "absent", [["broker"], ["store"], ["broker", "store"]], ids=lambda absent: "+".join(absent)
)
def test_it_lives_without_them_and_reports_which_is_away(serve: Serve, absent: list[str]) -> None:
    api = serve(**{f"{part}_url": closed() for part in absent})

    answer = api.get("/health/ready")

    assert api.get("/health/live").status_code == 200
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["away"] == absent
    assert answer.json()["detail"] == f"waiting for: {', '.join(absent)}"
