"""A full store is reported, and accepted runs go on."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from redis import Redis

from mousetrap.embedded_valkey import EmbeddedValkey
from support.valkey import administrator
from support.waiting import until

RUNS = "/pipelines/earthquakes/runs"
FEED = {"url": "https://example.org/feed.geojson"}


@pytest.fixture
def full(own_valkey: EmbeddedValkey) -> Iterator[Callable[[bool], None]]:
    """`full(True)` lets the store have no room any more, `full(False)` gives it back."""
    with Redis.from_url(administrator(own_valkey.url)) as client:
        was: Any = client.config_get("maxmemory*")

        def set_full(yes: bool) -> None:
            client.config_set("maxmemory", 1 if yes else was["maxmemory"])

        client.config_set("maxmemory-policy", "noeviction")
        yield set_full
        set_full(False)
        client.config_set("maxmemory-policy", was["maxmemory-policy"])


def test_a_full_store_is_reported_as_full_and_not_as_away(
    serve: Callable[..., httpx.Client],
    own_valkey: EmbeddedValkey,
    broker_url: str,
    full: Callable[[bool], None],
) -> None:
    api = serve(store_url=own_valkey.url, broker_url=broker_url)
    before = api.post(RUNS, json=FEED)
    full(True)

    refused = api.post(RUNS, json=FEED)
    ready = api.get("/health/ready")

    assert before.status_code == 202
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:mousetrap:problem:store-full")
    assert "maxmemory" in refused.json()["detail"]
    assert (ready.status_code, ready.json()["detail"]) == (503, "waiting for: store (it is full)")
    assert api.get(before.headers["location"]).json()["state"] == "queued"  # reading goes on
    full(False)
    until(lambda: api.post(RUNS, json=FEED).status_code == 202, "runs are accepted again")
    until(lambda: api.get("/health/ready").status_code == 200, "it is ready again")
