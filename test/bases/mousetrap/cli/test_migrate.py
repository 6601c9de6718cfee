"""Shows that one command makes all that the other processes need, changes nothing when repeated, and says what it could not do."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mousetrap.cli.migrate import migrate
from mousetrap.job_queue import QueueOptions, connect, open_channel
from mousetrap.settings import SettingsWrong

Shown = pytest.CaptureFixture[str]

QUEUES = ["start_fetch", "data_processing"]


def environ(queue_url: str, store_url: str, folder: Path, **more: str) -> dict[str, str]:
    return {
        "MOUSETRAP_BROKER_URL": queue_url,
        "MOUSETRAP_STORE_URL": store_url,
        "MOUSETRAP_DATABASE_URL": f"sqlite:///{folder / 'summaries.db'}",
        **more,
    }


def states(said: str) -> dict[str, str]:
    """What became of each step."""
    lines = (line.split() for line in said.splitlines())
    return {words[1]: words[0] for words in lines if words[0] in ("ok", "fail")}


def tables(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "summaries.db")) as database:
        return [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


async def waiting(url: str) -> list[int]:
    """How many wait in each queue, as those see it who make none."""
    async with connect(url, [], name="test", options=QueueOptions(declare=False)) as queue:
        return [await queue.ready(each) for name in QUEUES for each in (name, f"{name}.dead")]


def test_all_that_other_processes_need_is_made_and_made_again_without_a_change(
    capsys: Shown, queue_url: str, store_url: str, tmp_path: Path
) -> None:
    given = environ(queue_url, store_url, tmp_path, MOUSETRAP_DECLARE="false")

    for _ in range(2):
        assert migrate(given) == 0

        assert states(capsys.readouterr().out) == {"queues": "ok", "database": "ok", "store": "ok"}
        assert asyncio.run(waiting(queue_url)) == [0, 0, 0, 0]
        assert tables(tmp_path) == ["mousetrap_summaries"]


def test_a_queue_that_differs_is_named_and_the_other_steps_are_taken(
    capsys: Shown, broker_url: str, store_url: str, tmp_path: Path
) -> None:
    with open_channel(broker_url, ["start_fetch"], options=QueueOptions(max_length=7)):
        pass

    assert migrate(environ(broker_url, store_url, tmp_path)) == 1

    said = capsys.readouterr().out
    assert "queue 'start_fetch' stands with x-max-length 7" in " ".join(said.split())
    assert tables(tmp_path) == ["mousetrap_summaries"]


@pytest.mark.parametrize("broker", ["amqp://me:s3cret@127.0.0.1:1/", "valkey://:s3cret@127.0.0.1:1/0"])
def test_all_that_is_away_is_reported_at_once_and_without_a_password(
    capsys: Shown, tmp_path: Path, broker: str
) -> None:
    database = "postgresql+psycopg://me:s3cret@127.0.0.1:1/mousetrap"
    given = environ(broker, "valkey://:s3cret@127.0.0.1:1/0", tmp_path, MOUSETRAP_DATABASE_URL=database)

    assert migrate(given) == 1

    said = capsys.readouterr().out
    assert states(said) == {"queues": "fail", "database": "fail", "store": "fail"}
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("MOUSETRAP_BROKER_URL", "amqp://me:mine@127.0.0.1/?heartbeat=1"),
        ("MOUSETRAP_DATABASE_URL", "mysql://me:mine@127.0.0.1/week"),
        ("MOUSETRAP_BROKER_URL", "amqp://me:CHANGE_ME@rabbit/mousetrap"),
    ],
)
def test_an_address_that_cannot_be_used_is_a_wrong_setting(
    store_url: str, tmp_path: Path, name: str, address: str
) -> None:
    with pytest.raises(SettingsWrong, match=name) as wrong:
        migrate({**environ(store_url, store_url, tmp_path), name: address})

    assert "mine" not in str(wrong.value)
