"""A run's lines in the terminal."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mousetrap.cli.tables.logs import shown as shown_line
from mousetrap.run_logs import RunLogs
from mousetrap.shapes import LogLine
from mousetrap.store_client import open_client
from mousetrap.telemetry import AttemptFacts, KeptLine
from support.terminal import shown

Command = Callable[..., Any]


@pytest.fixture
def run(mousetrap: Command, url: str) -> Command:
    """Runs a command against the API."""
    return lambda *arguments: mousetrap(*arguments, settings={"MOUSETRAP_API_URL": url})


def keep(store_url: str, *messages: str, level: str = "INFO", missed: int = 0) -> None:
    async def write() -> None:
        client = open_client(store_url, None)
        logs = RunLogs(client, "store", 3600)
        logs._missed["first-one"] = missed
        for message in messages:
            logs.add(
                KeptLine(
                    AttemptFacts("first-one", "earthquakes", "fetch", "j1", 1, "w1"),
                    5,
                    level,
                    "httpx",
                    message,
                )
            )
        await logs.write_all()
        await client.close()

    asyncio.run(write())


def test_the_lines_of_a_run_are_printed_by_the_beginning_of_its_id(
    run: Command, url: str, store_url: str
) -> None:
    run("run", "earthquakes", "--id", "first-one", "--no-follow")
    nothing = run("logs", "first-o")
    keep(store_url, "GET /feed 200", missed=3)
    keep(store_url, "no such row\n  row 7", level="ERROR")

    printed, errors = run("logs", "first-o"), run("logs", "first-one", "--level", "error")
    (first, second) = json.loads(run("logs", "first-one", "--json").out)["lines"]
    elsewhere = run("logs", "first-o", "--stage", "process").out.splitlines()
    of_fetch = json.loads(run("logs", "first-o", "--stage", "fetch", "--json").out)["lines"]

    assert (nothing.code, nothing.out) == (
        0,
        "no such line of run first-o: its handlers logged none from the level MOUSETRAP_RUN_LOGS up, or a day has passed\n",
    )
    assert printed.code == 0
    lines = printed.out.splitlines()
    assert lines[0] == "3 lines could not be kept"
    assert lines[1].endswith("INFO    fetch GET /feed 200 (httpx)")
    assert lines[2].endswith("ERROR   fetch no such row (httpx)") and lines[3] == "    row 7"
    assert [line for line in errors.out.splitlines() if "INFO" in line] == []
    assert (first["number"], second["level"]) == (1, "ERROR")
    assert (elsewhere, of_fetch) == (["3 lines could not be kept"], [first, second])


def test_wrong_options_and_unknown_runs_end_with_2(run: Command) -> None:
    run("run", "earthquakes", "--id", "first-one", "--no-follow")

    assert run("logs", "no-such-run").code == 2
    loud = run("logs", "first-one", "--level", "loud")
    assert (loud.code, "'DEBUG', 'INFO', 'WARNING' or 'ERROR'" in loud.err) == (2, True)


def test_a_run_is_followed_to_its_end(
    run: Command, url: str, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("run", "earthquakes", "--id", "first-one", "--no-follow")
    keep(store_url, "before")
    steps = iter(["later", "cancel", "last"])

    def sleep(seconds: float) -> None:
        step = next(steps)
        if step == "cancel":
            httpx.delete(f"{url}/runs/first-one", timeout=60)
        else:  # in a thread, for an event loop of its own
            writing = threading.Thread(target=keep, args=(store_url, step))
            writing.start()
            writing.join()

    monkeypatch.setattr("mousetrap.cli.logs.sleep", sleep)
    followed = run("logs", "first-one", "--follow", "--json")

    assert followed.code == 0
    assert [json.loads(line)["message"] for line in followed.out.splitlines()] == ["before", "later", "last"]


def test_a_line_shows_no_control_character_and_a_later_attempt() -> None:
    line = LogLine(
        number=1, at_ms=1_767_323_045_123, level="WARNING", logger="x", message="a\x1b[31mb\nINFO c",
        stage="fetch", job="j", attempt=2, worker="w",
    )  # fmt: skip

    text = shown(shown_line(line))

    assert "\x1b" not in text
    assert ".123 WARNING fetch#2 a" in text
    assert text.splitlines()[1] == "  INFO c"
