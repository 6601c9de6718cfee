"""Tests `mousetrap outbox`: the relay as a process, and its repairs."""

import json
import signal
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from mousetrap.client import AsyncClient, Client
from mousetrap.outbox import DEFAULT_TABLE, Passed, Refusal, open_engine, open_rows, submit_on_commit
from mousetrap.settings import Settings
from mousetrap.shapes import Event
from mousetrap.submit_run import SubmitOptions
from support.outbox import make_outbox, write_rows
from support.processes import Process
from support.published import a_pipeline, beat
from support.waiting import until

KEYS = "test:a-secret-for-the-tests"
_TASK = """
from mousetrap.handlers import task

@task
def triple(number: int) -> int:
    return number * 3
"""


@pytest.fixture
def url(database_url: str) -> str:
    make_outbox(database_url)
    return database_url


def set_aside(url: str, why: str) -> int:
    """Sets the oldest row aside; its number."""
    with open_rows(url, DEFAULT_TABLE) as rows:
        taken = rows.take(1, Passed())
        assert taken is not None
        number: int = taken.rows[0]["id"]
        rows.settle(taken, [], [Refusal(number, why)], 1_000)
    return number


@pytest.mark.parametrize(
    ("database_url", "queue_url"), [("sqlite", "streams"), ("postgresql", "rabbitmq")], indirect=True
)
def test_committed_rows_become_runs_once_a_worker_has_their_pipeline(
    url: str, queue_url: str, store_url: str, start_base: Callable[..., Process], tmp_path: Path
) -> None:
    (tmp_path / "tripling.py").write_text(_TASK)
    settings = {
        "MOUSETRAP_BROKER_URL": queue_url,
        "MOUSETRAP_STORE_URL": store_url,
        "MOUSETRAP_SIGNING_KEYS": KEYS,
    }
    run_ids = write_rows(url, "k", "k", "", pipeline="triple")
    relay = start_base("cli", "outbox", **settings, MOUSETRAP_OUTBOX_URL=url)
    relay.wait_for_line("keeps the rows of pipeline triple for later")
    worker = start_base("cli", "worker", "tripling.py", **settings)
    worker.wait_for_line("serving")
    relay.wait_for_line("runs of pipeline triple are accepted again", 60)
    with open_rows(url, DEFAULT_TABLE) as rows:
        until(lambda: rows.status().waiting == 0, "all rows are submitted", 60)

    opened = Settings(broker_url=queue_url, store_url=store_url, signing_keys=KEYS)
    with Client(settings=opened) as client:
        assert [client.run(run_id).wait(timeout=60) for run_id in run_ids] == [0, 3, 6]

    relay.send(signal.SIGTERM)
    assert relay.wait() == 0
    assert "stopped: 3 runs submitted" in relay.output
    with open_rows(url, DEFAULT_TABLE) as rows:
        assert rows.status() == (0, None, 0, 0)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_each_option_of_a_row_is_that_of_its_run(
    url: str, store_url: str, start_base: Callable[..., Process]
) -> None:
    given = Settings(broker_url=store_url, store_url=store_url, signing_keys=KEYS)
    await beat(store_url, "w", a_pipeline("words"), keyring=given.keyring)
    due = datetime.now(UTC) + timedelta(hours=1)
    with open_engine(url) as engine, Session(engine) as session, session.begin():
        run_id = submit_on_commit(session, "words", "a", at=due, expires_in=7200, tags=["t"], priority=9)

    start_base(
        "cli",
        "outbox",
        MOUSETRAP_BROKER_URL=store_url,
        MOUSETRAP_STORE_URL=store_url,
        MOUSETRAP_SIGNING_KEYS=KEYS,
        MOUSETRAP_OUTBOX_URL=url,
    )
    async with AsyncClient(settings=given) as client:
        handle = client.run(run_id, submitted_within=60)
        assert isinstance(first := await anext(handle.follow()), Event) and first.kind == "accepted"
        run = await handle.status()

    assert {field.name for field in fields(SubmitOptions)} == {"delay_s", "expires_in", "tags", "priority"}
    assert (run.tags, run.priority) == (("t",), 9)
    assert run.due_ms is not None and run.expires_ms is not None
    assert abs(run.due_ms - due.timestamp() * 1000) < 60_000
    assert abs(run.expires_ms - due.timestamp() * 1000 - 3_600_000) < 60_000


def test_rows_are_counted_listed_retried_and_discarded(
    url: str, mousetrap: Callable[..., tuple[int, str, str]]
) -> None:
    def outbox(*arguments: str) -> tuple[int, str, str]:
        return mousetrap("outbox", "--database", url, *arguments, settings={})

    assert outbox("status")[1].split() == ["waiting", "0", "set", "aside", "0"]
    assert outbox("failed")[1] == "no row is set aside\n"
    write_rows(url, "order-1", "order-1", "")
    number = set_aside(url, "no pipeline of this name")

    code, out, _ = outbox("status")
    assert code == 0
    assert "waiting    2, the oldest for" in out
    assert "set aside  1, which block 1 of their keys" in out
    assert json.loads(outbox("status", "--json")[1]).keys() == {
        "waiting",
        "oldest_ms",
        "set_aside",
        "blocked",
    }
    listed = outbox("failed")[1]
    assert "order-1" in listed and "no pipeline of this name" in listed
    (row,) = json.loads(outbox("failed", "--json")[1])
    assert (row["id"], row["error"], row["blocks"], row["pipeline"]) == (
        number,
        "no pipeline of this name",
        1,
        "p",
    )

    assert outbox("retry", str(number)) == (0, "1 retried\n", "")
    assert "set aside  0" in outbox("status")[1]
    set_aside(url, "again")
    assert outbox("discard", "--all", "--yes") == (0, "1 discarded\n", "")
    assert "waiting    2" in outbox("status")[1]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--database", "sqlite:///nothing.db", "status"), 3, "mousetrap outbox create"),
        (("--database", "sqlite:///nothing.db"), 3, "mousetrap outbox create"),
        (("--database", "mysql://user:secret@host/x", "status"), 2, "give sqlite:///path"),
        (("status",), 2, "where is the outbox?"),
        ((), 2, "where is the outbox?"),
        (("--database", "sqlite:///made.db", "retry"), 2, "give the numbers of rows"),
        (("--database", "sqlite:///made.db", "retry", "1", "--all"), 2, "give the numbers of rows"),
        (("--database", "sqlite:///made.db", "retry", "1"), 2, "no such row was set aside"),
        (("--database", "sqlite:///made.db", "discard", "--all", "--yes"), 1, "no such row was set aside"),
        (("--database", "sqlite:///made.db", "discard", "--all"), 2, "pass --yes"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_the_fix(
    mousetrap: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    text: str,
) -> None:
    make_outbox(f"sqlite:///{tmp_path}/made.db")
    monkeypatch.chdir(tmp_path)
    settings = {"MOUSETRAP_SIGNING_KEYS": "off", "MOUSETRAP_STORE_URL": "valkey://127.0.0.1:1/0"}

    ended, out, err = mousetrap("outbox", *arguments, settings=settings)

    assert ended == code
    assert text in out + err
    assert "Traceback" not in out + err and "secret" not in out + err


def test_a_new_table_is_made_once(tmp_path: Path, mousetrap: Callable[..., object]) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    for _ in range(2):
        assert mousetrap("outbox", "--database", url, "create", settings={}) == (
            0,
            f"table mousetrap_outbox is at {url}\n",
            "",
        )
