"""Callers need a key; without configured keys, this machine may call."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request

from mousetrap.api import create_app
from mousetrap.api.access import caller_of
from mousetrap.api.problems import Problem
from mousetrap.api_keys import ALLOWS, SIGNED_IN, Caller, Scope, new_key
from mousetrap.catalogue import PIPELINES
from mousetrap.settings import Settings, SettingsWrong

RUNS = "/pipelines/earthquakes/runs"
READ, READ_ENTRY = new_key("reader", ["read"], bytes(32))
RUN, RUN_ENTRY = new_key("starter", ["run"], bytes(range(32)))
BOTH, BOTH_ENTRY = new_key("both", ["read", "run"], bytes(range(1, 33)))
ENTRIES = f"{READ_ENTRY}\n{RUN_ENTRY}\n{BOTH_ENTRY}"

Serve = Callable[..., httpx.Client]


@pytest.mark.parametrize("header", [("Authorization", f"Bearer {READ}"), ("X-API-Key", READ)])
def test_a_key_opens_what_its_scope_is_for(serve: Serve, header: tuple[str, str]) -> None:
    api = serve(api_keys=ENTRIES)

    assert api.get("/runs", headers=dict([header])).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/pipelines"),
        ("GET", "/pipelines/earthquakes/latest"),
        ("POST", RUNS),
        ("GET", "/runs"),
        ("GET", "/runs/a"),
        ("GET", "/runs/a/events"),
        ("GET", "/"),
        ("POST", "/refresh"),
    ],
)
def test_without_a_key_nothing_is_shown_or_started(serve: Serve, method: str, path: str) -> None:
    api = serve(api_keys=ENTRIES)

    missing = api.request(method, path)
    unknown = api.request(method, path, headers={"X-API-Key": READ[:-1]})

    assert missing.status_code == unknown.status_code == 401
    assert missing.json()["type"] == "urn:mousetrap:problem:key-missing"
    assert missing.headers["www-authenticate"] == 'Bearer realm="mousetrap"'
    assert unknown.json()["type"] == "urn:mousetrap:problem:key-unknown"
    assert "invalid_token" in unknown.headers["www-authenticate"]
    assert READ[:-1] not in unknown.text


def test_every_documented_path_but_health_asks_for_a_key(serve: Serve) -> None:
    api = serve(api_keys=ENTRIES)

    for path, operations in api.get("/openapi.json").json()["paths"].items():
        for method in operations:
            answer = api.request(method, path.replace("{run_id}", "a"))
            assert path.startswith("/health/") or answer.status_code == 401, (method, path)


@pytest.mark.parametrize(
    ("method", "path", "key", "scope"), [("POST", RUNS, READ, "run"), ("GET", "/runs", RUN, "read")]
)
def test_a_key_without_the_scope_learns_which(
    serve: Serve, method: str, path: str, key: str, scope: str
) -> None:
    api = serve(api_keys=ENTRIES)

    answer = api.request(method, path, headers={"X-API-Key": key})

    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:mousetrap:problem:scope-missing"
    assert f"lacks the scope {scope}" in answer.json()["detail"]


def test_equal_idempotency_keys_of_two_callers_are_two_runs(serve: Serve) -> None:
    api = serve(api_keys=ENTRIES)

    answers = [
        api.post(RUNS, headers={"X-API-Key": key, "Idempotency-Key": "same"}) for key in (RUN, BOTH, BOTH)
    ]

    assert [answer.status_code for answer in answers] == [202] * 3
    assert len({answer.json()["run_id"] for answer in answers}) == 2


@pytest.mark.parametrize("key", ["", f"X-API-Key: {READ}\r\n"])
def test_a_caller_who_may_not_is_refused_before_the_body_is_sent(serve: Serve, key: str) -> None:
    api = serve(api_keys=ENTRIES)
    address = (api.base_url.host, api.base_url.port or 80)

    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(
            f"POST {RUNS} HTTP/1.1\r\nHost: 127.0.0.1\r\n{key}Content-Length: 1000\r\n\r\n".encode()
        )
        answer = connection.recv(12)

    assert answer == (b"HTTP/1.1 403" if key else b"HTTP/1.1 401")


def test_health_and_documentation_need_no_key(serve: Serve) -> None:
    api = serve(api_keys=ENTRIES)

    for path in ("/health/live", "/health/ready", "/docs", "/openapi.json"):
        assert api.get(path).status_code == 200, path


def test_the_names_of_queues_need_a_key(serve: Serve) -> None:
    api = serve(api_keys=ENTRIES)

    assert api.get("/asyncapi.json").status_code == 401
    assert api.get("/asyncapi.json", headers={"X-API-Key": READ}).status_code == 200


def test_keys_are_not_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        api = serve(api_keys=ENTRIES)
        api.post(RUNS, headers={"X-API-Key": RUN})
        api.post(RUNS, headers={"Authorization": f"Bearer {READ}"})

    assert "POST /pipelines/earthquakes/runs" in caplog.text
    for key in (READ, RUN):
        assert key.rpartition("_")[2] not in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_without_keys_foreign_web_pages_are_refused(api: httpx.Client, headers: dict[str, str]) -> None:
    answer = api.post(RUNS, headers=headers)

    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:mousetrap:problem:foreign-origin"
    assert api.get("/runs").json()["runs"] == []


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_key_that_is_sent_by_mistake_in_a_query_or_a_path_is_in_no_log(start_api: Any, style: str) -> None:
    process, api = start_api(MOUSETRAP_LOG_FORMAT=style, MOUSETRAP_API_KEYS=READ_ENTRY)

    for path in (f"/runs?api_key={READ}", f"/runs/{READ}", "/runs?token=hunter2-hunter2", "/the-last"):
        assert api.get(path, headers={"X-API-Key": READ}).status_code in (404, 422)

    process.wait_for_line("/the-last")
    assert "/runs?api_key=***" in process.output
    assert READ.rpartition("_")[2] not in process.output
    assert "hunter2" not in process.output


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_without_keys_pages_of_the_api_itself_are_answered(api: httpx.Client, host: str) -> None:
    here = f"{host}:{api.base_url.port}"

    answer = api.post(RUNS, headers={"Host": here, "Origin": f"http://{here}"})

    assert answer.status_code == 202


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "api.example"])
def test_without_keys_only_this_machine_can_be_served(host: str) -> None:
    with pytest.raises(SettingsWrong, match=r"MOUSETRAP_API_KEYS: set at least one key.*MOUSETRAP_API_HOST"):
        create_app(Settings.from_environ({"MOUSETRAP_API_HOST": host}), PIPELINES)

    create_app(
        Settings.from_environ({"MOUSETRAP_API_HOST": host, "MOUSETRAP_API_KEYS": READ_ENTRY}), PIPELINES
    )


def test_wrong_keys_are_refused_before_anything_is_served() -> None:
    with pytest.raises(SettingsWrong, match="MOUSETRAP_API_KEYS: key 2 is not of the form") as refused:
        create_app(Settings.from_environ({"MOUSETRAP_API_KEYS": f"{READ_ENTRY},{RUN}"}), PIPELINES)

    assert RUN not in str(refused.value)


def test_a_key_that_has_ended_is_refused_with_its_last_day(serve: Serve) -> None:
    today = datetime.now(UTC).date()
    ended, entry = new_key("old", ["read"], bytes(32), last_day=today - timedelta(days=2))
    good, other = new_key("new", ["read"], bytes(32), last_day=today + timedelta(days=1))
    api = serve(api_keys=f"{entry},{other}")

    answer = api.get("/runs", headers={"X-API-Key": ended})

    assert (answer.status_code, answer.json()["type"]) == (401, "urn:mousetrap:problem:key-ended")
    assert str(today - timedelta(days=2)) in answer.json()["detail"]
    assert "invalid_token" in answer.headers["www-authenticate"]
    assert api.get("/runs", headers={"X-API-Key": good}).status_code == 200


def test_a_missing_scope_is_refused_with_all_that_there_are(serve: Serve) -> None:
    api = serve(api_keys=ENTRIES)

    detail = api.delete("/runs/a", headers={"X-API-Key": READ}).json()["detail"]

    assert "lacks the scope operate" in detail
    for scope, what in ALLOWS.items():
        assert f"{scope} ({what})" in detail
        assert f"{scope} ({what})" in str(api.get("/openapi.json").json()["components"]["securitySchemes"])


def test_a_key_is_given_and_taken_away_while_the_api_runs(start_api: Any, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(READ_ENTRY)
    process, api = start_api(MOUSETRAP_API_KEYS_FILE=str(file))

    def status(key: str) -> int:
        return int(api.get("/runs", headers={"X-API-Key": key}).status_code)

    assert (status(READ), status(BOTH)) == (200, 401)
    file.write_text(BOTH_ENTRY)
    process.wait_for_line("read the keys again")
    assert (status(READ), status(BOTH)) == (401, 200)

    # What cannot be used changes nothing: above all it opens nothing.
    for content in ("", ",", "no key"):
        before = len(process.lines)
        file.write_text(content)
        process.wait_for_line("the keys stay as they were", after=before)
        assert (status(READ), status(BOTH), api.get("/runs").status_code) == (401, 200, 401)
    before = len(process.lines)
    file.unlink()
    process.wait_for_line("the keys stay as they were", after=before)
    assert (status(BOTH), api.get("/runs").status_code) == (200, 401)


def signed_in(caller: Caller, **settings: Any) -> Request:
    """A request within the process: from another page, by its headers, and without a key."""
    app = create_app(Settings(**settings), PIPELINES)
    headers = [(b"host", b"api.example"), (b"sec-fetch-site", b"cross-site"), (b"via", b"proxy")]
    return Request(
        {"type": "http", "app": app, "headers": headers, "client": ("192.0.2.1", 1), SIGNED_IN: caller}
    )


def test_who_is_signed_in_has_the_scopes_of_the_key_and_is_counted_with_it() -> None:
    reader = Caller("reader", frozenset({Scope.READ}))
    request = signed_in(reader, api_keys=ENTRIES, api_rate=0.01)
    app = request.app

    assert caller_of(request, Scope.READ) is reader
    assert request.scope["mousetrap.caller"] == "reader"
    with pytest.raises(Problem, match="MOUSETRAP_API_RATE"):
        caller_of(request, Scope.READ)
    app.state.access.rates = None
    with pytest.raises(Problem, match="lacks the scope operate"):
        caller_of(request, Scope.OPERATE)


def test_without_keys_who_is_signed_in_is_this_machine() -> None:
    request = signed_in(Caller("", frozenset(Scope)))

    assert caller_of(request, *Scope).scopes == set(Scope)
    assert request.scope["mousetrap.caller"] == "loopback"


def test_no_header_signs_in(serve: Serve) -> None:
    api = serve(api_keys=ENTRIES)

    answer = api.get("/runs", headers={SIGNED_IN: "reader", "Cookie": f"{SIGNED_IN}=reader"})

    assert answer.status_code == 401
