"""What migrate makes, and what it reports on failure."""

import asyncio
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mousetrap.job_queue import QueueOptions, connect, open_channel
from support.workbench import connected

#: Runs a command; `conftest.py` has it.
Command = Callable[..., Any]

QUEUES = ["start_fetch", "data_processing"]


def environ(queue_url: str, store_url: str, folder: Path, **more: str) -> dict[str, str]:
    return {
        "MOUSETRAP_BROKER_URL": queue_url,
        "MOUSETRAP_STORE_URL": store_url,
        "MOUSETRAP_DATABASE_URL": f"sqlite:///{folder / 'summaries.db'}",
        **more,
    }


def states(shown: str) -> dict[str, str]:
    """What became of each step."""
    lines = (line.split() for line in shown.splitlines())
    return {words[1]: words[0] for words in lines if words[0] in ("ok", "fail")}


def tables(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "summaries.db")) as database:
        return [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


async def waiting(url: str) -> list[int]:
    """How many wait in each queue, as those see it who make none."""
    async with connect(url, [], name="test", options=QueueOptions(declare=False)) as queue:
        await connected(queue, QUEUES[0])
        return [await queue.count_ready(each) for name in QUEUES for each in (name, f"{name}.dead")]


def test_all_that_other_processes_need_is_made_and_made_again_without_a_change(
    mousetrap: Command, queue_url: str, store_url: str, tmp_path: Path
) -> None:
    given = environ(queue_url, store_url, tmp_path, MOUSETRAP_DECLARE="false")

    for _ in range(2):
        done = mousetrap("migrate", settings=given)

        assert done.code == 0
        assert states(done.out) == {"queues": "ok", "database": "ok", "store": "ok"}
        assert asyncio.run(waiting(queue_url)) == [0, 0, 0, 0]
        assert tables(tmp_path) == ["mousetrap_summaries"]


def test_the_queues_of_targets_are_made_as_well(
    mousetrap: Command, queue_url: str, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "from mousetrap.handlers import task\n@task(queue='of_a_target')\ndef twice(a: int) -> int: return 2 * a"
    name = f"{tmp_path.name}.py"  # another one for each queue: modules are imported once
    (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))

    done = mousetrap("migrate", name, settings=environ(queue_url, store_url, tmp_path))

    assert done.code == 0, done.err
    assert "mousetrap: found twice: twice (queue of_a_target)" in done.err

    async def there() -> int:
        async with connect(queue_url, [], name="test", options=QueueOptions(declare=False)) as queue:
            await connected(queue, "of_a_target.dead")
            return await queue.count_ready("of_a_target.dead")

    assert asyncio.run(there()) == 0


def test_a_queue_that_differs_is_named_and_the_other_steps_are_taken(
    mousetrap: Command, broker_url: str, store_url: str, tmp_path: Path
) -> None:
    with open_channel(broker_url, ["start_fetch"], options=QueueOptions(max_length=7)):
        pass

    done = mousetrap("migrate", settings=environ(broker_url, store_url, tmp_path))

    assert done.code == 1
    assert "queue 'start_fetch' has x-max-length 7" in " ".join(done.out.split())
    assert tables(tmp_path) == ["mousetrap_summaries"]


@pytest.mark.parametrize("broker", ["amqp://me:s3cret@127.0.0.1:1/", "valkey://:s3cret@127.0.0.1:1/0"])
def test_all_that_is_away_is_reported_at_once_and_without_a_password(
    mousetrap: Command, tmp_path: Path, broker: str
) -> None:
    database = "postgresql+psycopg://me:s3cret@127.0.0.1:1/mousetrap"
    given = environ(broker, "valkey://:s3cret@127.0.0.1:1/0", tmp_path, MOUSETRAP_DATABASE_URL=database)

    done = mousetrap("migrate", settings=given)

    assert done.code == 1
    assert states(done.out) == {"queues": "fail", "database": "fail", "store": "fail"}
    assert "s3cret" not in done.out


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("MOUSETRAP_BROKER_URL", "amqp://me:mine@127.0.0.1/?heartbeat=1"),
        ("MOUSETRAP_DATABASE_URL", "mysql://me:mine@127.0.0.1/week"),
        ("MOUSETRAP_BROKER_URL", "amqp://me:CHANGE_ME@rabbit/mousetrap"),
    ],
)
def test_an_address_that_cannot_be_used_is_a_wrong_setting(
    mousetrap: Command, store_url: str, tmp_path: Path, name: str, address: str
) -> None:
    done = mousetrap("migrate", settings={**environ(store_url, store_url, tmp_path), name: address})

    assert (done.code, done.out) == (2, "")
    assert name in done.err
    assert "mine" not in done.err
