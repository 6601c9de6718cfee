"""A run is followed live, over outages and to its end."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.shapes import Progress
from support.clients import accepted_run

RUNS = "/pipelines/earthquakes/runs"

Serve = Callable[..., httpx.Client]


def events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """The events of a stream as they come, their data read."""
    fields: dict[str, Any] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name:
            fields[name] = json.loads(value) if name == "data" else value
        elif fields:
            yield fields
            fields = {}


#: The timeline of a run whose two stages were done.
WHOLE = ["accepted", "started", "finished", "started", "finished", "completed"]


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in found]


def test_an_ended_run_shows_its_whole_story_at_once(api: httpx.Client, worker: Any) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    worker.complete(run_id, {})

    with api.stream("GET", f"/runs/{run_id}/events") as answer:
        received = list(events(answer))

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert kinds(received) == WHOLE
    timeline = api.get(f"/runs/{run_id}").json()["timeline"]
    assert [event["data"] for event in received] == timeline
    assert [event["id"] for event in received] == [event["id"] for event in timeline]


def test_a_running_run_is_followed_as_it_goes(api: httpx.Client, worker: Any) -> None:
    run_id = api.post(RUNS).json()["run_id"]

    with api.stream("GET", f"/runs/{run_id}/events") as answer:
        happening = events(answer)
        received = [next(happening)]
        worker.begin(run_id)
        received.append(next(happening))
        worker.report(run_id, Progress(stage="fetch", done=2.0, total=4.0, note="half"))
        received.append(next(happening))
        worker.complete(run_id, {})
        received += happening

    assert kinds(received) == ["accepted", "started", "progress", *WHOLE[2:]]
    assert received[2]["data"] == {
        "stage": "fetch",
        "done": 2.0,
        "total": 4.0,
        "note": "half",
        "lost": None,
    }
    assert "id" not in received[2]


def test_a_yielded_value_is_streamed_with_its_attempt_and_stays_in_the_timeline(
    api: httpx.Client, worker: Any
) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    worker.begin(run_id)

    with api.stream("GET", f"/runs/{run_id}/events") as answer:
        happening = events(answer)
        received = [next(happening), next(happening)]
        worker.keep_value(run_id, {"page": 1})
        received.append(next(happening))
        worker.complete(run_id, {})
        received += happening

    assert kinds(received)[:3] == ["accepted", "started", "yielded"]
    data = received[2]["data"]
    assert (data["kind"], data["stage"], data["attempt"], data["value"]) == (
        "yielded",
        "fetch",
        1,
        {"page": 1},
    )
    assert received[2]["id"] == data["id"]
    timeline = api.get(f"/runs/{run_id}").json()["timeline"]
    assert [event["value"] for event in timeline if event["kind"] == "yielded"] == [{"page": 1}]


@pytest.mark.parametrize("how", ["header", "query"])
def test_a_watcher_goes_on_after_the_last_event_it_saw(api: httpx.Client, worker: Any, how: str) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    worker.complete(run_id, {})
    seen = api.get(f"/runs/{run_id}").json()["timeline"][1]["id"]
    place: dict[str, Any] = (
        {"headers": {"Last-Event-ID": seen}} if how == "header" else {"params": {"after": seen}}
    )

    with api.stream("GET", f"/runs/{run_id}/events", **place) as answer:
        received = list(events(answer))

    assert kinds(received) == WHOLE[2:]


def test_a_watcher_that_saw_all_of_an_ended_run_is_asked_not_to_come_again(
    api: httpx.Client, worker: Any
) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    worker.complete(run_id, {})
    last = api.get(f"/runs/{run_id}").json()["timeline"][-1]["id"]

    answer = api.get(f"/runs/{run_id}/events", headers={"Last-Event-ID": last})

    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(
    ("place", "where"),
    [
        ({"headers": {"Last-Event-ID": "yesterday"}}, "header.Last-Event-ID"),
        ({"headers": {"Last-Event-ID": "-"}}, "header.Last-Event-ID"),
        ({"params": {"after": "1-99999999999999999999"}}, "query.after"),
    ],
)
def test_a_place_of_a_wrong_form_is_refused(api: httpx.Client, place: dict[str, Any], where: str) -> None:
    run_id = api.post(RUNS).json()["run_id"]

    answer = api.get(f"/runs/{run_id}/events", **place)

    assert (answer.status_code, answer.json()["where"]) == (422, where)


def test_a_silent_stream_is_kept_alive_by_comments(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.05)
    run_id = api.post(RUNS).json()["run_id"]

    with api.stream("GET", f"/runs/{run_id}/events") as answer:
        assert any(line.startswith(":") for line in answer.iter_lines())


def test_many_watchers_all_see_the_end(api: httpx.Client, worker: Any) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    began, received = threading.Barrier(21), list[list[str]]()

    def follow() -> None:
        with api.stream("GET", f"/runs/{run_id}/events") as answer:
            happening = events(answer)
            first = next(happening)
            began.wait(60)
            received.append(kinds([first, *happening]))

    watchers = [threading.Thread(target=follow) for _ in range(20)]
    for watcher in watchers:
        watcher.start()
    began.wait(60)
    worker.complete(run_id, {})
    for watcher in watchers:
        watcher.join(60)

    assert received == [WHOLE] * 20


def test_a_store_that_goes_away_and_comes_back_only_delays_a_watcher(
    serve: Serve, own_valkey: EmbeddedValkey, worker_of: Any
) -> None:
    api = serve(broker_url=own_valkey.url, store_url=own_valkey.url)
    run_id = api.post(RUNS).json()["run_id"]

    with api.stream("GET", f"/runs/{run_id}/events") as answer:
        happening = events(answer)
        received = [next(happening)]
        own_valkey.restart()
        worker_of(own_valkey.url).complete(run_id, {})
        received += happening

    assert kinds(received) == WHOLE


def test_a_watcher_that_leaves_is_forgotten(start_api: Any) -> None:
    process, api = start_api()
    run_id = accepted_run(api, RUNS)

    with api.stream("GET", f"/runs/{run_id}/events") as answer:
        next(events(answer))

    assert run_id in process.wait_for_line("stopped following a run")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_asked_to_stop_ends_its_streams_and_exits_well(
    start_api: Any, number: signal.Signals
) -> None:
    process, api = start_api()
    run_id = accepted_run(api, RUNS)

    with api.stream("GET", f"/runs/{run_id}/events") as answer:
        happening = events(answer)
        first = next(happening)
        process.send(number)
        rest = list(happening)

    assert kinds([first, *rest]) == ["accepted"]
    assert process.wait() == 0
    assert "Traceback" not in process.output
    assert "Cancel" not in process.output
