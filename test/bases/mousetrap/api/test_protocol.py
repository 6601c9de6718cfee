"""A connection is bounded before it is a request."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mousetrap.api_keys import new_key
from support.clients import accepted_run
from support.processes import Process
from support.waiting import until

Start = Callable[..., tuple[Process, httpx.Client]]

RUNS = "/pipelines/earthquakes/runs"
HEAD = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n"
KEY, ENTRY = new_key("reader", ["read"], bytes(32))


@contextmanager
def connected(api: httpx.Client) -> Iterator[socket.socket]:
    with socket.create_connection((api.base_url.host, api.base_url.port or 80), timeout=60) as connection:
        yield connection


def answer_to(api: httpx.Client, *parts: bytes) -> bytes:
    """All that comes back until the server closes; it may close before it has read everything."""
    with connected(api) as connection:
        try:
            for part in parts:
                connection.sendall(part)
        except OSError:
            pass
        return rest_of(connection)


def rest_of(connection: socket.socket) -> bytes:
    read = b""
    try:
        while part := connection.recv(65_536):
            read += part
    except ConnectionResetError:
        pass
    return read


def memory(process: Process) -> int:
    """The most that the process has had in memory, in MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


#: What goes on without end, after what has been sent before it.
ENDLESS = {
    "a header's value": (HEAD + b"X-A: ", b"a" * 65_536),
    "a header's name": (HEAD, b"a" * 65_536),
    "headers": (HEAD, b"".join(b"X-%d: a\r\n" % n for n in range(5_000))),
    "a path": (b"GET /", b"a" * 65_536),
    "a method": (b"", b"G" * 65_536),
    "a chunk's extension": (
        b"POST /refresh HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        b"a" * 65_536,
    ),
    "trailers": (
        b"POST /refresh HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: ",
        b"a" * 65_536,
    ),
    "empty lines": (b"", b"\r\n" * 32_768),
}


def test_what_has_no_end_is_cut_off_and_costs_no_memory(start_api: Start) -> None:
    process, api = start_api()
    before = memory(process)

    for what, (begin, more) in ENDLESS.items():
        answer_to(api, begin, *[more] * 500)  # 32 MB

        assert memory(process) < before + 16, what
        assert api.get("/health/live").status_code == 200, what


@pytest.mark.parametrize("head", [HEAD + b"X-A: " + b"a" * 70_000, HEAD + b"X-A: a\r\n" * 200])
def test_a_large_head_is_refused_and_reports_what_is_allowed(
    api: httpx.Client, head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = answer_to(api, head + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"urn:mousetrap:problem:head-too-large" in answer
    assert b"65536 bytes and 100 headers" in answer
    until(lambda: "head-too-large" in caplog.text, "it is logged")


def test_a_head_of_usual_size_is_served(api: httpx.Client) -> None:
    assert api.get("/health/live", headers={f"X-{n}": "a" * 600 for n in range(80)}).status_code == 200


def test_a_silent_connection_is_ended(start_api: Start) -> None:
    _, api = start_api()

    with ExitStack() as opened:
        silent = [opened.enter_context(connected(api)) for _ in range(3)]
        for connection, begin in zip(silent, (b"", b"\r\n", HEAD), strict=True):
            connection.sendall(begin)
        answers = [rest_of(connection) for connection in silent]

    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"head-too-slow" in answer


def test_idle_connections_make_room_for_a_client_that_speaks(start_api: Start) -> None:
    process, api = start_api(MOUSETRAP_API_MAX_CONNECTIONS="8")

    with ExitStack() as idle:
        silent = [idle.enter_context(connected(api)) for _ in range(40)]
        for each in silent[20:]:
            each.sendall(HEAD)

        with httpx.Client(base_url=api.base_url, timeout=60) as other:
            assert [other.get("/health/live").status_code for _ in range(3)] == [200] * 3
        assert "too-many-connections" in process.wait_for_line("too-many-connections")
        ended = [each for each in silent if _is_ended(each)]

    assert len(ended) >= 32


def test_connections_at_work_are_not_ended_for_others(start_api: Start) -> None:
    _, api = start_api(MOUSETRAP_API_MAX_CONNECTIONS="8")
    head = f"POST {RUNS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n".encode()

    with ExitStack() as opened:
        busy = [opened.enter_context(connected(api)) for _ in range(8)]
        for each in busy:
            each.sendall(head)
        # Else the ninth could be there before a head is read: the server accepts all that came while it stood still.
        assert {each.recv(100) for each in busy} == {b"HTTP/1.1 100 Continue\r\n\r\n"}
        for each in busy:
            each.sendall(b"{")
        until(lambda: answer_to(api, b"").startswith(b"HTTP/1.1 503"), "there is no room")
        for each in busy:
            each.sendall(b"}")
        answers = [each.recv(12) for each in busy]

    assert answers == [b"HTTP/1.1 202"] * 8


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_defect(start_api: Start) -> None:
    process, api = start_api()

    with connected(api) as connection:
        connection.sendall(f"POST {RUNS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{{".encode())
    until(lambda: api.get("/health/live").status_code == 200, "the API serves")
    process.terminate()

    assert "Traceback" not in process.output
    assert "ERROR" not in process.output


def test_requests_sent_before_their_responses_are_bounded(api: httpx.Client) -> None:
    answer = answer_to(api, (HEAD + b"\r\n") * 10_000)

    assert answer.count(b"HTTP/1.1 200") < 100


def test_callers_are_held_to_the_rate_that_is_set(start_api: Start) -> None:
    _, api = start_api(MOUSETRAP_API_RATE="0.1")

    answers = [api.get("/runs") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 429, 429]
    assert answers[1].json()["type"] == "urn:mousetrap:problem:too-many-requests"
    assert 1 <= int(answers[1].headers["retry-after"]) <= 10


def test_wrong_keys_from_one_address_are_bounded_and_right_ones_are_not(start_api: Start) -> None:
    _, api = start_api(MOUSETRAP_API_KEYS=ENTRY)

    def status(number: int) -> int:
        return api.get("/runs", headers={"X-API-Key": f"mt_x_{number}"}).status_code

    assert [status(number) for number in range(100)] == [401] * 100
    until(lambda: status(101) == 429, "the bound is met, however slow the calls are")
    assert api.get("/runs", headers={"X-API-Key": KEY}).status_code == 200


def test_watchers_leave_room_for_others(start_api: Start) -> None:
    _, api = start_api(MOUSETRAP_API_MAX_CONNECTIONS="8")
    run = accepted_run(api, RUNS)

    with ExitStack() as watching:
        streams = []  # kept: a client closes a response without a reference
        for _ in range(6):
            watcher = watching.enter_context(httpx.Client(base_url=api.base_url, timeout=60))
            streams.append(watching.enter_context(watcher.stream("GET", f"/runs/{run}/events")).iter_lines())
            next(streams[-1])  # it is served
        refused = api.get(f"/runs/{run}/events")

    assert refused.status_code == 503
    assert refused.json()["type"] == "urn:mousetrap:problem:too-many-watchers"


@pytest.mark.parametrize(
    "header",
    [{"Sec-Fetch-Site": site} for site in ("cross-site", "same-site", "odd")],
    ids=lambda header: str(header),
)
def test_without_keys_requests_that_other_pages_made_are_refused(
    api: httpx.Client, header: dict[str, str]
) -> None:
    for method, path in (("GET", "/runs"), ("GET", "/dead"), ("POST", RUNS)):
        answer = api.request(method, path, headers=header)

        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:mousetrap:problem:foreign-origin"


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_without_keys_a_browser_may_ask_by_itself(api: httpx.Client, site: str) -> None:
    assert api.get("/runs", headers={"Sec-Fetch-Site": site}).status_code == 200


@pytest.mark.parametrize("name", ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"])
def test_without_keys_no_proxy_is_served(api: httpx.Client, name: str) -> None:
    answer = api.get("/runs", headers={name: "203.0.113.9"})

    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:mousetrap:problem:proxy-without-keys"


@pytest.mark.parametrize(("trusted", "named"), [("", "127.0.0.1"), ("127.0.0.1", "203.0.113.9")])
def test_only_a_named_proxy_is_believed_about_the_caller(start_api: Start, trusted: str, named: str) -> None:
    process, api = start_api(MOUSETRAP_API_KEYS=ENTRY, MOUSETRAP_TRUSTED_PROXIES=trusted)

    api.get("/runs?limit=1", headers={"X-API-Key": KEY, "X-Forwarded-For": "203.0.113.9"})

    assert named in process.wait_for_line("GET /runs")


@pytest.mark.parametrize("host", ["[", "a]b[", "[::1", "//", "@", "127.0.0.1:x", "\\"])
@pytest.mark.parametrize("keys", ["", ENTRY])
def test_a_malformed_host_is_no_defect(serve: Callable[..., httpx.Client], host: str, keys: str) -> None:
    api = serve(api_keys=keys)

    for path in ("/runs", "/nowhere", "/docs", "/health/live"):
        assert api.get(path, headers={"Host": host, "X-API-Key": KEY}).status_code < 500

    if not keys and host in ("[", "a]b[", "[::1"):
        answer = api.get("/runs", headers={"Host": host})
        assert answer.status_code == 400
        assert answer.json()["type"] == "urn:mousetrap:problem:malformed-host"


NAMES = (
    *("Host", "Origin", "Authorization", "X-API-Key", "Idempotency-Key", "Accept", "Last-Event-ID", "Range"),
    *("Content-Length", "Content-Type", "Cookie", "Sec-Fetch-Site", "If-None-Match", "Expect", "Upgrade"),
)


@pytest.fixture(params=["", ENTRY], ids=["without keys", "with keys"])
def any_api(serve: Callable[..., httpx.Client], request: Any) -> httpx.Client:
    return serve(api_keys=request.param)


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(
    headers=st.lists(st.tuples(st.sampled_from(NAMES), st.binary(max_size=40)), max_size=4),
    path=st.sampled_from([b"/runs", b"/runs/x/events", RUNS.encode(), b"/dead", b"/", b"/nowhere"]),
    method=st.sampled_from([b"GET", b"POST", b"PUT", b"HEAD"]),
)
def test_no_header_is_a_defect(
    any_api: httpx.Client, headers: list[tuple[str, bytes]], path: bytes, method: bytes
) -> None:
    lines = [method + b" " + path + b" HTTP/1.1"]
    if not any(name == "Host" for name, _ in headers):
        lines.append(b"Host: 127.0.0.1")
    lines += [name.encode() + b": " + value.replace(b"\n", b"") for name, value in headers]
    lines += [b"Connection: close", b"", b""]

    with connected(any_api) as connection:
        connection.sendall(b"\r\n".join(lines))
        connection.shutdown(socket.SHUT_WR)
        answer = rest_of(connection)

    assert not answer.startswith(b"HTTP/1.1 5")


def _is_ended(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.setblocking(True)
