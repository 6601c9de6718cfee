"""The fast path and the framework give the same response."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mousetrap.api_keys import new_key

RUNS = "/pipelines/earthquakes/runs"
#: A query is what leaves a request to the framework.
BY_FRAMEWORK = {"expires_in": "3600", "tags": "x"}
READ, READ_ENTRY = new_key("reader", ["read"], bytes(32))
RUN, RUN_ENTRY = new_key("starter", ["run", "read"], bytes(range(32)))

Serve = Callable[..., httpx.Client]


def compared(answer: httpx.Response) -> tuple[int, Any, dict[str, str]]:
    """The response without its date."""
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status_code, answer.json(), headers


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        (RUNS, {}, b"", 401),
        (RUNS, {"Authorization": f"Bearer {RUN[:-1]}"}, b"", 401),
        (RUNS, {"Authorization": f"Basic {RUN}"}, b"", 401),
        (RUNS, {"Authorization": "Bearer", "X-API-Key": READ}, b"", 403),
        (RUNS, {"X-API-Key": READ}, b"", 403),
        ("/pipelines/none/runs", {"X-API-Key": READ}, b"", 403),
        ("/pipelines/none/runs", {"X-API-Key": RUN}, b"{", 404),
        (RUNS, {"X-API-Key": RUN}, b"{", 422),
        (RUNS, {"X-API-Key": RUN}, b'{"url": 1}', 422),
        (RUNS, {"X-API-Key": RUN}, b" " * 2_000, 413),
        (RUNS, {"Authorization": f"bearer  {RUN}", "X-API-Key": "none", "Idempotency-Key": "k"}, b"", 202),
    ],
)
def test_both_ways_answer_alike(
    serve: Serve, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    api = serve(api_keys=f"{READ_ENTRY},{RUN_ENTRY}", api_max_body=1_000)
    if status == 202:  # both are repeats then, of one run
        api.post(path, headers=headers, content=body)

    by_fast_path = api.post(path, headers=headers, content=body)
    by_framework = api.post(path, headers=headers, content=body, params=BY_FRAMEWORK)

    assert by_fast_path.status_code == status
    assert compared(by_fast_path) == compared(by_framework)


def test_both_ways_find_the_run_of_an_idempotency_key(serve: Serve) -> None:
    api = serve(api_keys=RUN_ENTRY)
    headers = {"X-API-Key": RUN, "Idempotency-Key": "order 66"}

    first = api.post(RUNS, headers=headers, params=BY_FRAMEWORK)
    again = api.post(RUNS, headers=headers)

    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert len(api.get("/runs", headers=headers).json()["runs"]) == 1


def test_without_keys_both_ways_refuse_a_foreign_page(api: httpx.Client) -> None:
    headers = {"Origin": "https://evil.example"}

    answers = [api.post(RUNS, headers=headers), api.post(RUNS, headers=headers, params=BY_FRAMEWORK)]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert compared(answers[0]) == compared(answers[1])
