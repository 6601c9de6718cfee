"""A batch starts a run for each line, and answers each line."""

import asyncio
import http.client
import json
import signal
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from starlette.requests import ClientDisconnect

from mousetrap.api.batch_runs import BatchRuns
from mousetrap.api.stopping import until_stopped
from mousetrap.api.unsent import Unsent
from mousetrap.api_keys import new_key
from mousetrap.run_store import Opened, RunStore
from mousetrap.submit_run import run_id_of_key
from support.valkey import OwnValkey
from support.waiting import until

BATCH = "/pipelines/earthquakes/batch"
RUN, RUN_ENTRY = new_key("starter", ["run"], bytes(32))
READ, READ_ENTRY = new_key("reader", ["read"], bytes(range(32)))

Serve = Callable[..., httpx.Client]


def feed(number: int) -> dict[str, str]:
    return {"url": f"https://example.org/{number}"}


def written(*lines: Any) -> bytes:
    """Values as lines of JSON; bytes as they are."""
    return b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)


def answers(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def problem(answer: dict[str, Any]) -> tuple[int, str, str | None]:
    """The line, the problem's kind and its place."""
    found = answer["problem"]
    assert {"title", "status", "detail"} <= set(found)
    return answer["line"], found["type"].rpartition(":")[2], found.get("where")


def test_each_line_starts_a_run_and_is_answered_in_order(api: httpx.Client) -> None:
    found = answers(api.post(BATCH, content=written(*({"input": feed(number)} for number in range(600)))))

    assert [each["line"] for each in found] == list(range(1, 601))
    assert all(each["new"] and each["url"] == f"/runs/{each['run_id']}" for each in found)
    assert len({each["run_id"] for each in found}) == 600
    for number in (0, 256, 599):
        run = api.get(found[number]["url"]).json()
        assert (run["state"], run["input"]) == ("queued", feed(number))


def test_an_empty_batch_has_no_answers(api: httpx.Client) -> None:
    assert answers(api.post(BATCH, content=b"")) == []
    assert answers(api.post(BATCH, content=b"\n  \r\n")) == []


def test_lines_without_an_input_mean_the_defaults(api: httpx.Client) -> None:
    for found in answers(api.post(BATCH, content=written({}, {"input": {}}))):
        assert api.get(found["url"]).json()["input"]["url"].startswith("https://earthquake.usgs.gov/")


def test_bad_lines_stop_no_other(serve: Serve) -> None:
    api = serve(api_max_body=100)

    found = answers(
        api.post(
            BATCH,
            content=written(
                {"input": feed(1)},
                b"",
                b"no json",
                b"[1]",
                {"input": {"url": 1}},
                {"input": feed(1), "inputs": 1},
                {"input": "x" * 100},
                {"id": "a b"},
                {"id": "a\n"},
                {"id": "a", "unique": "a"},
                {"expires_in": -1},
                b'{"input": {"url": "\xff"}}',
                b'{"input": ' + b"[" * 85,
                {"input": feed(2)},
            ),
        )
    )

    assert [each["line"] for each in found if "new" in each] == [1, 14]
    assert [each["line"] for each in found if "run_id" in each] == [1, 5, 12, 14]
    assert [problem(each) for each in found if "problem" in each] == [
        (3, "invalid-request", "$"),
        (4, "invalid-request", "$"),
        (5, "contract-broken", "$.url"),
        (6, "invalid-request", "$"),
        (7, "line-too-long", None),
        (8, "invalid-request", "$.id"),
        (9, "invalid-request", "$.id"),
        (10, "two-ids", None),
        (11, "invalid-request", "$.expires_in"),
        (12, "contract-broken", "$"),
        (13, "invalid-request", "$"),
    ]
    assert len(api.get("/runs").json()["runs"]) == 2


def test_a_line_has_the_options_of_a_single_run(api: httpx.Client) -> None:
    lines = written(
        {"delay": 60, "tags": ["nightly", "été"], "priority": 9},
        {"at": "2999-01-01T00:00:00Z"},
        {"at": "2999-01-01T00:00:00", "id": "a"},
        {"delay": 60, "expires_in": 30},
        {"tags": ["x" * 65]},
        {"priority": 10},
        {"priority": "high"},
    )

    first, *refused = answers(api.post(BATCH, content=lines))

    run = api.get(first["url"]).json()
    assert (run["tags"], run["priority"]) == (["nightly", "été"], 9)
    assert 59_000 <= run["due_ms"] - run["accepted_ms"] <= 61_000
    assert [problem(each) for each in refused] == [
        (2, "invalid-request", "$.at"),
        (3, "invalid-request", "$.at"),
        (4, "invalid-request", "$.expires_in"),
        (5, "invalid-request", "$.tags"),
        (6, "invalid-request", "$.priority"),
        (7, "invalid-request", "$.priority"),
    ]


def test_repeated_lines_give_the_first_run_and_another_input_a_conflict(serve: Serve) -> None:
    api = serve(api_keys=RUN_ENTRY)
    api.headers["X-API-Key"] = RUN
    lines = written(
        {"input": feed(1), "id": "one"},
        {"input": feed(2), "unique": "order 66"},
        {"input": feed(1), "id": "one"},
        {"input": feed(3), "unique": "order 66"},
    )

    first, again = (answers(api.post(BATCH, content=lines)) for _ in range(2))

    run_id = run_id_of_key("starter", "earthquakes", "order 66")
    assert [(each.get("run_id"), each.get("new")) for each in first] == [
        ("one", True),
        (run_id, True),
        ("one", False),
        (run_id, None),
    ]
    assert problem(first[3])[:2] == (4, "run-conflict")
    assert [each.get("new") for each in again] == [False, False, False, None]


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        (BATCH, None, 401),
        (BATCH, READ, 403),
        ("/pipelines/none/batch", RUN, 404),
        (f"{BATCH}?delay=1", RUN, 422),
    ],
)
def test_what_is_wrong_with_all_of_it_is_an_ordinary_problem(
    serve: Serve, path: str, key: str | None, status: int
) -> None:
    api = serve(api_keys=f"{RUN_ENTRY},{READ_ENTRY}")

    answer = api.post(path, content=written({}), headers={"X-API-Key": key} if key else {})

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_ten_thousand_lines_are_answered_and_the_rest_is_refused(api: httpx.Client) -> None:
    def lines() -> Iterator[bytes]:
        for _ in range(10_002):
            yield b"{}\n"

    *found, last = answers(api.post(BATCH, content=lines(), timeout=120))

    assert [each["line"] for each in found] == list(range(1, 10_001))
    assert len({each["run_id"] for each in found}) == 10_000
    assert problem(last)[:2] == (10_001, "too-many-lines")
    # A busy machine's servers may answer some too late, which are then sent again, as their answers advise.
    late = [each for each in found if not each.get("new")]
    assert {problem(each)[1] for each in late} <= {"store-away", "broker-away", "unconfirmed", "not-tried"}
    again = answers(api.post(BATCH, content=written(*({"id": each["run_id"]} for each in late)), timeout=120))
    assert [each for each in again if "problem" in each] == []


class Connection:
    """Sends a batch in parts, and reads its answers while it does."""

    def __init__(self, api: httpx.Client, key: str = "-") -> None:
        address = api.base_url.host, api.base_url.port or 80
        self._socket = socket.create_connection(address, timeout=60)
        self._socket.sendall(
            f"POST {BATCH} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        self._answer: http.client.HTTPResponse | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._answer is not None:
            self._answer.close()
        self._socket.close()

    def send(self, body: bytes) -> None:
        self._socket.sendall(b"%x\r\n%s\r\n" % (len(body), body))

    def end(self) -> None:
        """The body is complete."""
        self._socket.sendall(b"0\r\n\r\n")

    def read_status(self) -> int:
        if self._answer is None:
            self._answer = http.client.HTTPResponse(self._socket)
            self._answer.begin()
        return self._answer.status

    def read_line(self) -> Any:
        """The next answer; None at the end."""
        assert self.read_status() == 200
        assert self._answer
        line = self._answer.readline()
        return json.loads(line) if line else None


def test_a_line_is_answered_before_the_next_one_is_sent(api: httpx.Client) -> None:
    with Connection(api) as connection:
        for number in range(1, 4):
            connection.send(written({"input": feed(number)}) + b"\n")
            assert connection.read_line()["line"] == 2 * number - 1
            connection.send(b'{"input": ')
            connection.send(b"{}}\n")
            assert connection.read_line()["line"] == 2 * number
        connection.end()

        assert connection.read_line() is None


@pytest.mark.usefixtures("kind_of_runs")
def test_a_line_waits_for_an_earlier_one_of_its_id_and_no_other_does(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, went_on = threading.Event(), threading.Event()
    open_run, mark_published = RunStore.open_run, RunStore.mark_published

    async def opened(store: RunStore, run_id: str, *args: Any, **more: Any) -> Opened:
        if run_id == "one" and not asked.is_set():
            asked.set()
            assert await asyncio.to_thread(went_on.wait, 60), "the line of another id waits as well"
        return await open_run(store, run_id, *args, **more)

    def published(store: RunStore, run_id: str) -> None:
        mark_published(store, run_id)
        if run_id == "other":
            went_on.set()

    monkeypatch.setattr(RunStore, "open_run", opened)
    monkeypatch.setattr(RunStore, "mark_published", published)
    with Connection(api) as connection:
        connection.send(written({"input": feed(1), "id": "one"}) + b"\n")
        assert asked.wait(60)
        connection.send(written({"input": feed(2), "id": "one"}, {"id": "other"}) + b"\n")
        connection.end()
        first, again, other = (connection.read_line() for _ in range(3))

    assert first["new"]
    assert problem(again)[:2] == (2, "run-conflict")
    assert other["new"]


class Held:
    """Batches whose runs are started only when the test allows it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        #: How many groups of lines were read, and how many callers were seen to leave.
        self.groups = self.left = 0
        start = BatchRuns.start

        async def started(runs: BatchRuns, lines: Any, *, local: bool) -> bytes:
            if lines:
                self.groups += 1
                await asyncio.to_thread(self.go.wait, 60)
            return await start(runs, lines, local=local)

        async def parts(stopping: asyncio.Event, stream: Any) -> AsyncIterator[bytes]:
            try:
                async for part in until_stopped(stopping, stream):
                    yield part
            except ClientDisconnect:
                self.left += 1
                raise

        monkeypatch.setattr(BatchRuns, "start", started)
        monkeypatch.setattr("mousetrap.api.batch.until_stopped", parts)

    def leave(self, api: httpx.Client, body: bytes) -> None:
        """A caller sends `body` and leaves before its first answer."""
        groups, left = self.groups, self.left
        with Connection(api) as connection:
            connection.send(body)
            until(lambda: self.groups > groups, "the lines are read")
        until(lambda: self.left > left, "the end of the connection is noticed")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held(monkeypatch)
    yield held
    held.go.set()


def test_a_caller_that_leaves_has_its_whole_lines_started_and_no_other(
    api: httpx.Client, held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    held.leave(api, written({"id": "a"}, {"id": "b"}, {"id": "c"}))  # the third line has no end
    held.go.set()

    until(lambda: "started the runs of a batch" in caplog.text, "its end is noticed")
    (record,) = [vars(it) for it in caplog.records if it.name == "mousetrap.api.batch"]
    assert (record["new"], record["outcome"]) == (2, "the caller left")
    assert answers(api.post(BATCH, content=written({"id": "b"})))[0]["new"] is False
    assert api.get("/runs/c").status_code == 404


def test_the_log_has_one_line_for_a_batch(api: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    api.post(BATCH, content=written({"id": "a"}, {"id": "a"}, b"hidden", {"id": "b"}))

    until(lambda: "started the runs of a batch" in caplog.text, "it is logged")
    (record,) = [vars(it) for it in caplog.records if it.name.startswith("mousetrap.")]
    facts = {name: record[name] for name in ("pipeline", "new", "known", "refused", "outcome")}
    assert facts == {"pipeline": "earthquakes", "new": 2, "known": 1, "refused": 1, "outcome": "done"}
    assert "hidden" not in caplog.text


def test_a_body_without_progress_ends_with_the_line_that_is_missing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.api.middleware._BODY_TIMEOUT_S", 1.0)
    with Connection(serve()) as connection:
        connection.send(b"{}\n{}\n{")

        found = [connection.read_line() for _ in range(3)]

        assert [each["line"] for each in found] == [1, 2, 3]
        assert problem(found[-1])[:2] == (3, "body-too-slow")
        assert connection.read_line() is None


def test_a_body_that_never_begins_is_an_ordinary_problem(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.api.middleware._BODY_TIMEOUT_S", 0.1)
    with Connection(serve()) as connection:
        assert connection.read_status() == 408


@pytest.mark.parametrize("part", ["broker", "store"])
def test_without_broker_or_store_the_lines_that_follow_are_not_tried_and_have_an_id_to_repeat_with(
    serve: Serve, tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mousetrap.api.services._CONFIRM_TIMEOUT_S", 1.5
    )  # each line that is tried waits so long
    with OwnValkey(tmp_path) as server, Connection(serve(**{f"{part}_url": server.url})) as connection:
        connection.send(b"{}\n")
        assert connection.read_line()["new"]

        server.kill()
        connection.send(b"{}\n" * 9_000)
        connection.end()
        found = list(iter(connection.read_line, None))
        server.start()

    assert [each["line"] for each in found] == list(range(2, 9_002))
    kinds = Counter(problem(each)[1] for each in found)
    assert set(kinds) == {f"{part}-away", "not-tried"}
    # The three groups under way, and one line a pause: a group that knew nothing of the others would be tried as a whole.
    assert kinds["not-tried"] > 8_000
    assert len({each["run_id"] for each in found}) == 9_000
    untried = [each["problem"] for each in found if problem(each)[1] == "not-tried"]
    assert untried[0]["away"] == [part]
    assert "nothing of it is kept" in untried[0]["detail"]


def test_a_moment_without_the_store_costs_a_batch_only_what_was_under_way(
    serve: Serve, tmp_path: Path
) -> None:
    with OwnValkey(tmp_path) as server, Connection(serve(store_url=server.url)) as connection:
        connection.send(b"{}\n")
        assert connection.read_line()["new"]

        server.kill()
        connection.send(b"{}\n")
        first = connection.read_line()
        server.start()
        connection.send(b"{}\n" * 1_000)
        connection.end()
        found = list(iter(connection.read_line, None))

    assert problem(first)[1] == "store-away"
    assert first["run_id"]
    assert len(found) == 1_000
    assert all(each["new"] for each in found)


def test_a_line_whose_input_does_not_fit_has_the_id_to_repeat_it_with(api: httpx.Client) -> None:
    (answer,) = answers(api.post(BATCH, content=written({"id": "mine", "input": 1})))

    assert (answer["run_id"], problem(answer)[1]) == ("mine", "contract-broken")


def test_a_server_that_stops_names_the_line_that_it_does_not_read(start_api: Any) -> None:
    process, api = start_api()
    with Connection(api) as connection:
        connection.send(b"{}\n{")
        assert connection.read_line()["new"]

        process.send(signal.SIGTERM)

        assert problem(connection.read_line())[:2] == (2, "stopping")
        assert connection.read_line() is None
    assert process.wait() == 0
    assert "Traceback" not in process.output


def test_a_batch_keeps_its_place_until_the_runs_of_a_caller_that_left_are_started(
    api: httpx.Client, held: Held
) -> None:
    for _ in range(8):
        held.leave(api, b"{}\n{}\n")

    assert api.post(BATCH, content=b"").status_code == 503
    held.go.set()
    until(lambda: api.post(BATCH, content=b"").status_code == 200, "there is room")


async def test_a_part_that_comes_after_the_end_is_not_sent() -> None:
    sent = list[object]()

    async def send(message: object) -> None:
        sent.append(message)

    unsent = Unsent(send, {"status": 200, "headers": []}, 10)
    await unsent.end()

    await unsent.put(b"x" * 20)

    assert sent == []


def test_one_key_has_two_batches_at_once_and_leaves_room_for_others(serve: Serve) -> None:
    other, other_entry = new_key("other", ["run"], bytes(range(1, 33)))
    api = serve(api_keys=f"{RUN_ENTRY},{other_entry}")
    with Connection(api, RUN) as one, Connection(api, RUN) as two:
        for each in (one, two):
            each.send(b"{}\n")
            assert each.read_line()["new"]

        refused = api.post(BATCH, content=b"{}\n", headers={"X-API-Key": RUN})
        assert answers(api.post(BATCH, content=b"{}\n", headers={"X-API-Key": other}))[0]["new"]

    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:mousetrap:problem:too-many-batches"
    assert "2 of this key are served" in refused.json()["detail"]


def test_a_few_batches_are_served_at_once(api: httpx.Client) -> None:
    with ExitStack() as stack:
        for _ in range(8):
            connection = stack.enter_context(Connection(api))
            connection.send(b"{}\n")
            assert connection.read_line()["new"]

        refused = api.post(BATCH, content=b"{}\n")

    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:mousetrap:problem:too-many-batches"
    assert int(refused.headers["retry-after"]) > 0
