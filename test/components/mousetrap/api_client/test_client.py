"""Requests to the API, and its errors as texts."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given, settings

from mousetrap.api_client.client import Api
from mousetrap.api_client.errors import CommandFailed, Misused, Unreachable
from mousetrap.api_client.reply import decoded
from mousetrap.settings import Settings, SettingsWrong
from mousetrap.shapes import Accepted, RunPage
from support.ports import closed_port
from support.settings import ANY_VALUE

Serving = Callable[..., AbstractContextManager[tuple[str, list[str | None]]]]


def test_no_api_is_reported_with_the_command_that_starts_one() -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    with (
        Api(url) as api,
        pytest.raises(Unreachable, match=f"cannot reach the API at {url}: .*`mousetrap up`"),
    ):
        api.ready()


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (404, '{"title":"No run","detail":"check the id"}', Misused, "No run: check the id"),
        (422, '{"title":"Bad","detail":"x","where":"$.url"}', Misused, r"Bad: x \(at \$\.url\)"),
        (
            503,
            '{"title":"Not ready","detail":"waiting for: store"}',
            Unreachable,
            "Not ready: waiting for: store",
        ),
        (502, "<html>", Unreachable, "/runs/r answered 502"),
        (404, "[]", Misused, "/runs/r answered 404"),
        (302, "", Misused, "/runs/r answered 302"),
        (200, "<html>", CommandFailed, "cannot read the API's reply"),
        (200, "{}", CommandFailed, "cannot read the API's reply"),
    ],
)
def test_an_answer_that_is_no_run_is_shown_in_words(
    serving: Serving, status: int, body: str, kind: type[CommandFailed], text: str
) -> None:
    with serving((status, body)) as (url, _), Api(url) as api, pytest.raises(kind, match=text):
        _ = api.run("r").value


@pytest.mark.parametrize("kind", ["unknown-pipeline", "key-unknown"])
def test_what_the_api_of_another_stack_answers_names_its_address(serving: Serving, kind: str) -> None:
    body = f'{{"type":"urn:mousetrap:problem:{kind}","title":"Unknown"}}'
    with serving((404, body)) as (url, _), Api(url) as api, pytest.raises(Misused) as raised:
        _ = api.run("r").value

    assert str(raised.value) == f"Unknown (asked was the API at {url})"


def test_dots_in_a_name_lead_to_no_other_path() -> None:
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with Api(f"http://127.0.0.1:{server.server_port}") as api:
            with pytest.raises(Misused):
                api.start("..", b"{}")
            with pytest.raises(Misused):
                api.letter("..", ".")
        server.shutdown()

    assert paths == ["/pipelines/%2E%2E/runs", "/dead/%2E%2E/%2E"]


@pytest.mark.parametrize("run_id", ["..", "a/b", "?", "", "x" * 65, "r\n"])
def test_an_invalid_run_id_is_not_sent(run_id: str) -> None:
    with Api("http://127.0.0.1:1") as api, pytest.raises(Misused, match="is no run's id"):
        api.cancel(run_id)


def test_an_address_that_is_none_is_a_wrong_setting() -> None:
    with pytest.raises(Misused, match="MOUSETRAP_API_URL is http://host:port"):
        Api("http://host:port")


def test_a_proxy_is_not_paths_for_this_machines_own_api(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    with serving((200, "{}")) as (url, _), Api(url) as api:
        api.ready()


def test_unknown_fields_of_a_reply_are_ignored() -> None:
    assert decoded(b'{"run_id":"r","url":"/runs/r","new":"thing"}', Accepted) == Accepted(
        run_id="r", url="/runs/r"
    )
    page = decoded(
        b'{"runs":[{"id":"r","pipeline":"p","state":"failed","stage":"t","accepted_ms":1,"updated_ms":2,"x":2}],"next":null}',
        RunPage,
    )
    assert [run.id for run in page.runs] == ["r"]


@settings(max_examples=400, deadline=None)
@given(url=ANY_VALUE, key=ANY_VALUE)
def test_an_address_and_a_key_that_the_settings_take_can_be_used(url: str, key: str) -> None:
    for given_one in ({"MOUSETRAP_API_URL": url}, {"MOUSETRAP_API_KEY": key}):
        try:
            taken = Settings.from_environ(given_one)
        except SettingsWrong:
            continue
        try:
            with Api(taken.api_url, taken.api_key):
                pass
        except Misused as misused:  # names in other letters are looked at by the client alone
            assert not taken.api_url.isascii()
            assert len(str(misused).splitlines()) == 1
