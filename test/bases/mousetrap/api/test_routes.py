"""Every route refuses query parameters that it would ignore, and answers HEAD."""

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
        names |= {"worker": "w", "name": "d", "topic": "orders.created"}
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


def parameters() -> Iterator[tuple[str, str, str, bool]]:
    """Each parameter of each route's query, and whether it takes several values."""
    described = catalogue_app(Settings()).openapi()["paths"]
    for (method, path), operation in zip(
        routes(), (each for of_path in described.values() for each in of_path.values()), strict=True
    ):
        for it in operation.get("parameters", ()):
            if it["in"] == "query":
                yield method, path, it["name"], it["schema"].get("type") == "array"


def test_a_parameter_without_a_value_or_given_twice_is_refused_by_every_route(api: httpx.Client) -> None:
    for method, path, name, is_many in parameters():
        asked = f"{method} {path} {name}"
        empty = api.request(method, path, params={name: ""})

        assert empty.status_code == 422, asked
        assert empty.json()["where"] == f"query.{name}"
        assert f"`{name}` is empty" in empty.json()["detail"]

        twice = api.request(method, path, params={name: ["1", "1"]})

        assert ("more than once" in twice.text) is not is_many, asked
        if not is_many:
            assert (twice.status_code, twice.json()["where"]) == (422, f"query.{name}")


def test_the_refusal_lists_the_parameters_that_there_are(api: httpx.Client) -> None:
    assert (
        "after, error, from_ms, id, limit, pipeline, repaired, stage, state, tag, to_ms, worker"
        in api.get("/runs?sate=failed").json()["detail"]
    )
    assert "expires_in, priority, run_id" in api.post(f"{RUNS}?runid=a").json()["detail"]
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
