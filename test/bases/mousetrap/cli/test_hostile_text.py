"""No command prints text that steers the terminal."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, example, given, settings
from rich.table import Table
from rich.text import Text

from mousetrap.cli.main import main
from mousetrap.cli.output import terminal
from support.characters import ANY_TEXT, unsafe
from support.processes import base_command, clean_environment

pytestmark = pytest.mark.slow

EVIL = (
    "T\x1b]0;OWNED\x07\x1b[38;5;201mRED\x1b[2J\x9b2J\x7f\u202eevil\u2066\u2028x\x85 "
    "[red]no[/red] [link=https://example.org]x[/link] :bomb:\n    1.00 s  fetch       completed\r\t"
)
_COMMANDS = [
    ("runs",),
    ("show", "r"),
    ("workers",),
    ("pipelines", "list"),
    ("pipelines", "show", "earthquakes"),
    ("dead", "list"),
    ("dead", "groups"),
    ("dead", "show", "m"),
    ("run", "earthquakes"),
    ("rerun", "r"),
]
#: A line each, a request that is refused with a text of the API's, and a setting that is wrong.
_WITHOUT_JSON = [
    ("dead", "export"),
    ("run", "earthquakes", "--no-follow"),
    ("cancel", "r", "refused"),
    ("show", "refused"),
    ("run", "refused"),
]
COMMANDS = [*_COMMANDS, *((*command, "--json") for command in _COMMANDS), *_WITHOUT_JSON]


class HostileApi:
    """Answers each request rightly, and with `text` wherever a text can be."""

    def __init__(self) -> None:
        self.text = ""

    def answer(self, method: str, path: str) -> tuple[int, bytes]:
        """The status and body."""
        if "refused" in path:
            return 404, self._json({"title": self.text, "detail": self.text, "where": self.text})
        if path.endswith("/events"):
            return 200, b"".join(
                b"data: " + self._json(event) + b"\n\n"
                for event in (self._event("retrying"), self._event("failed"))
            )
        if path.startswith("/dead/export"):
            return 200, self._json(self._letter()) + b"\n"
        if method == "POST" or method == "DELETE":
            return 200, self._json({"run_id": self.text, "url": self.text})
        return 200, self._json(self._found(path.partition("?")[0]))

    def _found(self, path: str) -> Any:
        letter, run = self._letter(), self._run()
        contract = {"title": self.text}
        stage = {"name": self.text, "queue": self.text, "input": contract, "output": contract}
        pipeline = {"name": "earthquakes", "description": self.text, "stages": [stage]}
        known = {
            "/runs": {"runs": [run, run], "next": self.text},
            "/workers": [self._worker()],
            "/dead": {"letters": [letter], "matched": 3, "seen": 4, "unseen": 5},
            "/dead/groups": {"groups": [self._group()], "seen": 4, "unseen": 5},
            "/pipelines": [pipeline],
            "/pipelines/earthquakes": pipeline,
        }
        return known.get(path) or (letter if path.startswith("/dead/") else run)

    def _json(self, document: Any) -> bytes:
        return json.dumps(document, ensure_ascii=False).encode()

    def _failure(self) -> dict[str, str]:
        return {"kind": self.text, "text": self.text, "traceback": self.text}

    def _event(self, kind: str) -> dict[str, Any]:
        text = dict.fromkeys(("stage", "worker"), self.text)
        return {"id": "1-0", "kind": kind, "at_ms": 1, "attempt": 2, "failure": self._failure(), **text}

    def _run(self) -> dict[str, Any]:
        text = dict.fromkeys(("id", "stage", "rerun_of"), self.text)
        timeline = [self._event("started"), self._event(self.text)]
        return {
            "pipeline": self.text, "state": "failed", "accepted_ms": 1, "updated_ms": 5, "finished_ms": 5, "input": {self.text: self.text},
            "failure": self._failure(), "timeline": timeline, **text,
        }  # fmt: skip

    def _worker(self) -> dict[str, Any]:
        names = ("concurrency", "running", "done", "failed", "silent", "pid", "started_ms", "seen_ms")
        counts = dict.fromkeys(names, 1)
        text = dict.fromkeys(("name", "host", "version"), self.text)
        doing = [{"run_id": self.text, "stage": self.text, "attempt": 1, "seconds": 1}]
        lists = {"stages": [self.text], "queues": [self.text], "doing": doing}
        return {"state": "serving", **text, **lists, **counts}

    def _letter(self) -> dict[str, Any]:
        names = ("id", "queue", "reason", "error_kind", "error", "worker", "run_id", "pipeline", "stage")
        text = dict.fromkeys((*names, "traceback"), self.text)
        return {**text, "believed": False, "body": self.text, "run": self._run(), "attempts": 2}

    def _group(self) -> dict[str, Any]:
        text = dict.fromkeys(("queue", "reason", "error_kind"), self.text)
        return {**text, "count": 2, "example": self._letter()}


@pytest.fixture(scope="module")
def api() -> Iterator[tuple[HostileApi, str]]:
    hostile = HostileApi()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            status, body = hostile.answer(self.command, self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield hostile, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def printed(url: str, *arguments: str, **environment: str) -> str:
    """All that a command prints."""
    out = StringIO()
    given = {"MOUSETRAP_API_URL": url, "COLUMNS": "90", **environment}
    with ExitStack() as changed:
        changed.enter_context(patch.dict("os.environ", given))
        changed.enter_context(patch.object(sys, "argv", ["mousetrap", *arguments]))
        changed.enter_context(redirect_stdout(out))
        changed.enter_context(redirect_stderr(out))
        main()
    assert out.getvalue()
    return out.getvalue()


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(text=ANY_TEXT.map(lambda text: text.encode(errors="replace").decode()))
@example(text=EVIL)
def test_no_command_prints_what_steers_a_terminal(
    api: tuple[HostileApi, str], arguments: tuple[str, ...], text: str
) -> None:
    hostile, url = api
    hostile.text = text

    assert not unsafe(printed(url, *arguments), but="\n\t")


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_terminal_gets_our_colours_alone_and_no_markup_of_others(
    api: tuple[HostileApi, str], arguments: tuple[str, ...]
) -> None:
    hostile, url = api
    hostile.text = EVIL

    shown = printed(url, *arguments, FORCE_COLOR="1")

    for stranger in (
        "\x1b]",
        "\x07",
        "\x1b[38;5;201m",
        "\x1b[2J",
        "\x9b",
        "\x7f",
        "\u202e",
        "\u2028",
        "\x85",
    ):
        assert stranger not in shown
    assert "[red]" in "".join(shown.split()) or "dead" in arguments or "--no-follow" in arguments


@pytest.mark.parametrize("arguments", [("show", "r"), ("show", "r", "--json"), ("runs",), ("dead", "export")])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_is_not_utf_8_gets_escapes_and_the_same_json(
    api: tuple[HostileApi, str], arguments: tuple[str, ...], encoding: str, tmp_path: Path
) -> None:
    hostile, url = api
    hostile.text = EVIL + "日本 é"
    environment = clean_environment(MOUSETRAP_API_URL=url, PYTHONIOENCODING=encoding)

    done = subprocess.run(
        base_command("cli", *arguments),
        env=environment,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=60,
    )

    assert done.stderr == b""
    shown = done.stdout.decode(encoding)
    assert not unsafe(shown, but="\n\t")
    if arguments[-1] in ("--json", "export"):
        read = json.loads(shown)
        assert read["failure" if arguments[-1] == "--json" else "run"] is not None
        assert hostile.text in read.values()


@given(ANY_TEXT)
def test_nothing_that_is_printed_can_forget_it(text: str) -> None:
    out = StringIO()
    table = Table(text, title=text)
    table.add_row(Text(text, "red"))
    for what in (text, Text(text), table, Text.assemble(("x", "red"), text)):
        terminal(out, width=40).print(what)

    assert not unsafe(out.getvalue(), but="\n\t")
