"""Shows that a body ends where it must, however it is sent."""

import socket
from collections.abc import Callable, Iterator

import httpx
import pytest

RUNS = "/pipelines/earthquakes/runs"
MOST = 1000

Serve = Callable[..., httpx.Client]


def exchange(api: httpx.Client, *parts: bytes) -> bytes:
    """Everything that comes back for these bytes until the server closes the connection."""
    address = (api.base_url.host, api.base_url.port or 80)
    with socket.create_connection(address, timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_a_body_at_the_limit_is_read(serve: Serve) -> None:
    api = serve(api_max_body=MOST)

    assert api.post(RUNS, content=b"{}" + b" " * (MOST - 2)).status_code == 202


def test_a_longer_body_is_refused(serve: Serve) -> None:
    api = serve(api_max_body=MOST)

    answer = api.post(RUNS, content=b"{}" + b" " * (MOST - 1))

    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:mousetrap:problem:body-too-large"
    assert "at most 1000 bytes" in answer.json()["detail"]
    assert answer.headers["connection"] == "close"


def test_an_input_larger_than_a_payload_may_be_is_refused_and_nothing_of_it_is_kept(serve: Serve) -> None:
    api = serve(payload_inline_bytes=10, payload_max_bytes=100)
    feed = {"url": f"https://example.org/{'x' * 100}"}

    answer = api.post(RUNS, json=feed)
    lines = api.post("/pipelines/earthquakes/batch", json={"input": feed})

    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:mousetrap:problem:body-too-large"
    assert "bytes, and MOUSETRAP_PAYLOAD_MAX_BYTES allows 100" in answer.json()["detail"]
    assert lines.json()["problem"]["type"] == answer.json()["type"]
    assert api.get("/runs").json()["runs"] == []


def test_a_chunked_body_of_no_stated_length_is_cut(serve: Serve) -> None:
    api = serve(api_max_body=MOST)

    def chunks() -> Iterator[bytes]:
        for _ in range(MOST // 10 + 1):
            yield b" " * 10

    answer = api.post(RUNS, content=chunks())

    assert answer.request.headers["transfer-encoding"] == "chunked"
    assert answer.status_code == 413


def test_a_chunked_body_without_end_is_cut_at_the_limit_and_not_at_its_end(serve: Serve) -> None:
    api = serve(api_max_body=MOST)

    answer = exchange(
        api,
        f"POST {RUNS} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode(),
        *[b"a\r\n          \r\n"] * (MOST // 10 + 1),
    )

    assert answer.startswith(b"HTTP/1.1 413")


def test_a_body_that_does_not_arrive_in_time_is_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.api.middleware._BODY_TIMEOUT_S", 0.1)

    answer = exchange(
        serve(), f"POST {RUNS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{{".encode()
    )

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"urn:mousetrap:problem:body-too-slow" in answer


def test_a_refused_body_leaves_no_run(serve: Serve) -> None:
    api = serve(api_max_body=MOST)
    api.post(RUNS, content=b"{}" + b" " * MOST)

    assert api.get("/runs").json()["runs"] == []


def test_a_path_that_reads_no_body_answers_whatever_is_sent(serve: Serve) -> None:
    api = serve(api_max_body=MOST)

    assert api.post("/refresh", content=b" " * (MOST + 1)).status_code == 200
