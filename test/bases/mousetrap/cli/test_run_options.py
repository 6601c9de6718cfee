"""Runs are started later, waited for, and many at once."""

import json
from collections.abc import Callable, Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from mousetrap.settings import Settings
from support.api_server import serving

Command = Callable[..., Any]


@pytest.fixture
def url(store_url: str) -> Iterator[str]:
    with serving(Settings(broker_url=store_url, store_url=store_url, api_max_body=200)) as url:
        yield url


@pytest.fixture
def run(mousetrap: Command, url: str) -> Command:
    """Runs a command against the API."""
    return lambda *arguments: mousetrap(*arguments, settings={"MOUSETRAP_API_URL": url})


def shown(url: str, run_id: str) -> Any:
    return httpx.get(f"{url}/runs/{run_id}", timeout=60).json()


def test_a_run_is_started_later_and_shown_with_its_begin_and_its_tags(run: Command, url: str) -> None:
    options = ("--id", "a", "--delay", "5m", "--tag", "nightly", "--tag", "b", "--expires-in", "1h")
    done = run("run", "earthquakes", *options, "--priority", "9", "--no-follow")

    assert done.code == 0
    assert done.out.startswith("accepted as run a, which begins in 5 min, at ")
    assert done.out.endswith(": `mousetrap show a`\n")
    found = shown(url, "a")
    assert (found["tags"], found["priority"]) == (["nightly", "b"], 9)
    assert abs(found["due_ms"] - found["accepted_ms"] - 300_000) < 2_000
    heading = dict(line.split(maxsplit=1) for line in run("show", "a").out.split("\n\n")[0].splitlines())
    assert heading["begins"].startswith("in 5 min, at ")
    assert (heading["tags"].rstrip(), heading["priority"].rstrip()) == ("nightly, b", "9")
    (line,) = [line for line in run("runs").out.splitlines() if line.startswith("a ")]
    assert "begins in 5 min" in line
    assert line.rstrip().endswith("nightly,b")


def test_a_time_is_iso_8601_with_an_offset(run: Command, url: str) -> None:
    assert run("run", "earthquakes", "--id", "a", "--at", "2027-01-01T08:00+01:00", "--no-follow").code == 0
    refused = run("run", "earthquakes", "--at", "2027-01-01T08:00", "--no-follow")

    assert shown(url, "a")["due_ms"] // 1000 in (1_798_786_800, 1_798_786_801)
    assert refused.code == 2
    assert "without a time zone" in refused.err
    wrong = run("run", "earthquakes", "--at", "tomorrow", "--no-follow")
    assert "--at tomorrow: write ISO 8601 with an offset" in wrong.err
    assert "query" not in wrong.err + refused.err


def test_who_follows_a_delayed_run_is_shown_when_it_begins(run: Command) -> None:
    done = run("run", "earthquakes", "--delay", "1h", "--wait", "0.5s")

    assert done.code == 4
    assert done.out.startswith("the run begins in 60 min") or done.out.startswith("the run begins in 1 h")
    assert "--no-follow leaves at once" in done.out


def test_a_run_that_does_not_end_in_time_goes_on_and_exits_4(run: Command, url: str) -> None:
    done = run("run", "earthquakes", "--id", "a", "--wait", "0.5s")

    assert done.code == 4
    assert "run a has not ended within 0.5 s, and goes on: `mousetrap show a`" in done.err
    assert shown(url, "a")["state"] == "queued"


LINES = (
    b'{"id": "a"}\n\n{"input": {"url": 1}}\n{"id": "b", "tags": ["x"]}\nno json\n{"id": "a"}\n'
    + b"x" * 201
    + b"\n"
)


def test_a_file_of_runs_is_started_and_each_refused_line_named(
    run: Command, url: str, tmp_path: Path
) -> None:
    (tmp_path / "runs.jsonl").write_bytes(LINES)

    done = run("run", "earthquakes", "--batch", str(tmp_path / "runs.jsonl"))

    assert done.code == 1
    assert done.out == "accepted 2 runs, and 1 that were accepted before; 3 lines were refused\n"
    refused = done.err.splitlines()
    assert [line.split(":")[1] for line in refused] == [" line 3", " line 5", " line 7"]
    assert "(at $.url)" in refused[0]
    assert shown(url, "b")["tags"] == ["x"]


def test_lines_of_standard_input_are_answered_as_json(
    run: Command, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b"".join(b'{"unique": "%d"}\n' % number for number in range(1_500)) + b"{"
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(lines)))

    done = run("run", "earthquakes", "--batch", "-", "--json")

    answers = [json.loads(line) for line in done.out.splitlines()]
    assert [each["line"] for each in answers] == list(range(1, 1_502))
    assert all(each["new"] for each in answers[:1_500])
    assert answers[-1]["problem"]["title"] == "The request is not valid"
    assert (done.code, done.err) == (1, "")


@pytest.mark.parametrize("more", [("--tag", "x"), ("--input", "1"), ("--wait", "3"), ("--key", "k")])
def test_a_batch_takes_no_option_of_a_single_run(run: Command, more: tuple[str, str]) -> None:
    done = run("run", "earthquakes", "--batch", "-", *more)

    assert done.code == 2
    assert "--batch takes inputs and options from its lines" in done.err


def test_a_file_that_is_not_there_is_named(run: Command) -> None:
    done = run("run", "earthquakes", "--batch", "/nowhere/runs.jsonl")

    assert (done.code, done.err) == (2, "mousetrap: --batch /nowhere/runs.jsonl: No such file or directory\n")


@pytest.mark.parametrize(
    ("answered", "unread", "summary"),
    [
        ([1, "stopping"], 2, "accepted 1 run; 1 line was refused"),
        ([1, 2, "body-too-slow"], 3, "accepted 2 runs; 1 line was refused"),
        ([1, 2, 3], 4, "accepted 3 runs"),
        ([], 1, "accepted 0 runs"),
    ],
)
def test_the_first_line_that_was_not_read_is_named_and_nothing_is_sent_after_it(
    mousetrap: Command, tmp_path: Path, answered: list[int | str], unread: int, summary: str
) -> None:
    sent = list[bytes]()
    (tmp_path / "runs.jsonl").write_bytes(b"{}\n" * 1_500)
    with serving(Settings(), _answering(answered, sent)) as url:
        settings = {"MOUSETRAP_API_URL": url}
        done = mousetrap("run", "earthquakes", "--batch", str(tmp_path / "runs.jsonl"), settings=settings)

    assert (done.code, done.out) == (1, f"{summary}\n")
    assert done.err.splitlines()[-1].startswith(f"mousetrap: the lines from {unread} on were not read")
    assert sent == [b"{}\n" * 1_000]


def test_an_api_that_stops_after_the_last_line_has_read_all(mousetrap: Command, tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_bytes(b"{}\n{}\n")
    with serving(Settings(), _answering([1, 2, "stopping"], [])) as url:
        settings = {"MOUSETRAP_API_URL": url}
        done = mousetrap("run", "earthquakes", "--batch", str(tmp_path / "runs.jsonl"), settings=settings)

    assert (done.code, done.out, done.err) == (0, "accepted 2 runs\n", "")


def _answering(answered: list[int | str], sent: list[bytes]) -> FastAPI:
    """An API that answers a batch so."""
    app = FastAPI()

    @app.post("/pipelines/earthquakes/batch")
    async def batch(request: Request) -> Response:
        sent.append(await request.body())
        return Response(b"".join(_answer(line, it) for line, it in enumerate(answered, start=1)))

    return app


def _answer(line: int, it: int | str) -> bytes:
    """A run, or the problem `it`."""
    problem = {"type": f"urn:mousetrap:problem:{it}", "title": "It stops", "status": 503, "detail": "x"}
    answer = {"problem": problem} if isinstance(it, str) else {"run_id": f"r{line}", "new": True}
    return json.dumps({"line": line, **answer}).encode() + b"\n"


def test_without_an_api_the_first_line_without_an_answer_is_named(mousetrap: Command, tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_bytes(LINES)
    settings = {"MOUSETRAP_API_URL": "http://127.0.0.1:1"}

    done = mousetrap("run", "earthquakes", "--batch", str(tmp_path / "runs.jsonl"), settings=settings)

    assert done.code == 3
    assert "the lines from 1 on have no answer" in done.err


@pytest.mark.parametrize("arguments", [("run", "earthquakes"), ("runs",), ("dead", "list")])
def test_a_key_is_not_sent_in_the_clear_to_a_foreign_host(
    mousetrap: Command, arguments: tuple[str, ...]
) -> None:
    key = "mt_secret_of_a_test"
    done = mousetrap(
        *arguments, settings={"MOUSETRAP_API_URL": "http://example.org", "MOUSETRAP_API_KEY": key}
    )

    assert done.code == 2
    assert "would be readable on its way to example.org: write https://" in done.err
    assert key not in done.out + done.err
