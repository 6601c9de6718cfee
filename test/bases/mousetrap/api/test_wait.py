"""A client waits for the end of the run that it starts."""

import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from mousetrap.api_keys import new_key
from mousetrap.embedded_valkey import EmbeddedValkey
from support.waiting import until

RUNS = "/pipelines/earthquakes/runs"
ASK = b"GET /runs/a?wait=30 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
RUN, RUN_ENTRY = new_key("starter", ["run"], bytes(32))
BOTH, BOTH_ENTRY = new_key("both", ["run", "read"], bytes(range(32)))

Serve = Callable[..., httpx.Client]


class Asking:
    """A request under way in a thread."""

    def __init__(self, ask: Callable[[], httpx.Response]) -> None:
        self._answer: httpx.Response | None = None

        def run() -> None:
            self._answer = ask()

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def answer(self) -> httpx.Response:
        self._thread.join(60)
        assert self._answer is not None
        return self._answer


def known(api: httpx.Client, run_id: str) -> bool:
    return api.get(f"/runs/{run_id}").status_code == 200


def test_a_run_that_ends_in_time_is_the_answer(api: httpx.Client, worker: Any) -> None:
    asking = Asking(lambda: api.post(RUNS, params={"run_id": "a", "wait": 30, "tags": "x"}))
    until(lambda: known(api, "a"), "it is accepted")
    began = time.monotonic()

    worker.complete("a", {"events": 3})

    answer = asking.answer()
    assert time.monotonic() - began < 25  # it waited for the end, and not for its half minute
    assert answer.status_code == 200
    assert answer.headers["location"] == "/runs/a"
    assert answer.json() == api.get("/runs/a").json()
    assert (answer.json()["state"], answer.json()["result"]) == ("completed", {"events": 3})


def test_a_run_that_fails_is_the_answer_as_well(api: httpx.Client, worker: Any) -> None:
    api.post(RUNS, params={"run_id": "a"})
    worker.fail("a", "no")

    answer = api.post(RUNS, params={"run_id": "a", "wait": 30})

    assert (answer.status_code, answer.json()["state"]) == (200, "failed")
    assert answer.headers["idempotent-replayed"] == "true"


def test_when_the_time_is_over_the_run_is_accepted_as_ever(api: httpx.Client) -> None:
    answer = api.post(RUNS, params={"wait": 0.2})

    assert answer.status_code == 202
    assert known(api, answer.json()["run_id"])


def test_an_earlier_run_is_waited_for(api: httpx.Client, worker: Any) -> None:
    api.post(RUNS, params={"run_id": "a"})
    assert api.get("/runs/a", params={"wait": 0.1}).json()["state"] == "queued"
    asking = Asking(lambda: api.get("/runs/a", params={"wait": 30}))

    worker.complete("a", 1)

    assert asking.answer().json()["state"] == "completed"
    assert api.get("/runs/a", params={"wait": 30}).json()["result"] == 1
    assert api.get("/runs/b", params={"wait": 30}).status_code == 404


def test_who_may_not_read_runs_may_not_wait_for_one(serve: Serve) -> None:
    api = serve(api_keys=f"{RUN_ENTRY},{BOTH_ENTRY}")

    refused = api.post(RUNS, params={"wait": 1}, headers={"X-API-Key": RUN})
    allowed = api.post(RUNS, params={"wait": 0.1}, headers={"X-API-Key": BOTH})

    assert (refused.status_code, refused.json()["type"]) == (403, "urn:mousetrap:problem:scope-missing")
    assert allowed.status_code == 202
    assert len(api.get("/runs", headers={"X-API-Key": BOTH}).json()["runs"]) == 1


def test_those_who_wait_leave_room_for_others(start_api: Any) -> None:
    process, api = start_api(MOUSETRAP_API_MAX_CONNECTIONS="8")
    api.post(RUNS, params={"run_id": "a"})
    address = (api.base_url.host, api.base_url.port or 80)

    with ExitStack() as waiting:
        sockets = [waiting.enter_context(socket.create_connection(address)) for _ in range(6)]

        def all_wait() -> bool:
            """Whether there is no room. A look takes a place itself: who was refused for it asks again."""
            answered, _, _ = select.select(sockets, [], [], 0)
            for one in answered:
                one.recv(65_536)
                one.sendall(ASK)
            return not answered and api.get("/runs/a?wait=0.01").status_code == 503

        for one in sockets:
            one.sendall(ASK)
        until(all_wait, "all six wait")
        refused = api.post(RUNS, params={"run_id": "b", "wait": 1})
    assert refused.json()["type"] == "urn:mousetrap:problem:too-many-watchers"
    assert not known(api, "b")

    # They left, and their places are free again.
    until(lambda: api.get("/runs/a?wait=0.01").status_code == 200, "there is room")
    assert "Traceback" not in process.output


def test_a_server_that_stops_lets_none_wait(start_api: Any) -> None:
    process, api = start_api()
    asking = Asking(lambda: api.post(RUNS, params={"run_id": "a", "wait": 60}))
    until(lambda: known(api, "a"), "it is accepted")
    began = time.monotonic()

    process.send(signal.SIGTERM)

    assert asking.answer().status_code == 202
    assert process.wait() == 0
    assert time.monotonic() - began < 50  # and not for the minute that was asked for
    assert "Traceback" not in process.output


def test_a_store_that_goes_away_and_comes_back_only_delays_the_answer(
    serve: Serve, own_valkey: EmbeddedValkey, worker_of: Any
) -> None:
    api = serve(broker_url=own_valkey.url, store_url=own_valkey.url)
    asking = Asking(lambda: api.post(RUNS, params={"run_id": "a", "wait": 30}))
    until(lambda: known(api, "a"), "it is accepted")

    own_valkey.restart()
    worker_of(own_valkey.url).complete("a", 1)

    assert asking.answer().json()["state"] == "completed"


@pytest.mark.parametrize("query", [{"wait": 0.1}, {"wait": 0.1, "delay": 60}])
def test_a_refused_run_is_refused_at_once(api: httpx.Client, query: dict[str, Any]) -> None:
    answer = api.post(RUNS, params=query, content=b'{"url": 1}')

    assert (answer.status_code, answer.json()["where"]) == (422, "$.url")
