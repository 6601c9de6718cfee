"""Every route refuses unknown query parameters and answers HEAD."""

from collections.abc import Iterator

import httpx
import pytest

from mousetrap.settings import Settings
from support.catalogue_app import catalogue_app

RUNS = "/pipelines/earthquakes/runs"


def routes() -> Iterator[tuple[str, str]]:
    """Each method and path of the description, with something in place of what the path names."""
    for path, operations in catalogue_app(Settings()).openapi()["paths"].items():
        names = {"queue": "start_fetch", "letter": "b", "stage": "start", "operation_id": "c"}
        named = path.format(run_id="a", **names)
        yield from ((method.upper(), named) for method in operations)


@pytest.mark.parametrize(("method", "path"), list(routes()))
def test_an_unknown_query_parameter_is_refused_by_every_route(
    api: httpx.Client, method: str, path: str
) -> None:
    answer = api.request(method, path, params={"sate": "failed"})

    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:mousetrap:problem:unknown-parameter"
    assert answer.json()["where"] == "query.sate"


def test_the_refusal_lists_the_parameters_that_there_are(api: httpx.Client) -> None:
    assert (
        "after, error, from_ms, id, limit, pipeline, repaired, stage, state, tag, to_ms, worker"
        in api.get("/runs?sate=failed").json()["detail"]
    )
    assert "expires_in, run_id" in api.post(f"{RUNS}?runid=a").json()["detail"]
    assert "queue, reason, run, stage" in api.get("/dead?resaon=a").json()["detail"]
    assert "knows none" in api.get("/health/live?a").json()["detail"]
    assert api.get("/runs").json()["runs"] == []


@pytest.mark.parametrize("path", [path for method, path in routes() if method == "GET"])
def test_head_is_answered_as_get_is_without_a_body(api: httpx.Client, path: str) -> None:
    if path == "/runs/a/events":
        path = f"/runs/{api.post(RUNS).json()['run_id']}/events"  # a stream that has no end yet
        with api.stream("GET", path) as stream:
            get = stream
    else:
        get = api.get(path)

    head = api.head(path)

    assert head.status_code == get.status_code
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]


def test_head_is_refused_where_get_is_and_listed_where_it_is_not(api: httpx.Client) -> None:
    assert api.head("/refresh").status_code == 405
    assert api.post("/runs").headers["allow"] == "GET, HEAD"
