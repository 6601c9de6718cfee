"""A client across a fork, and at the end of its program."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.processes import Process, clean_environment
from support.workbench import on_streams

RunProgram = Callable[[str], tuple[int, list[str]]]

_TASK = """
import asyncio, os, sys
from mousetrap.client import AsyncClient, Client, ClientClosed
from mousetrap.handlers import task

@task
def waits(number: int) -> int:
    return number
"""

FORKED = """
with Client() as client:
    before = client.submit(waits, 1)
    child = os.fork()
    if not child:
        own = client.submit(waits, 2)
        print("child", own.status().state, before.status().state, flush=True)
        sys.exit()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for number in range(20):
        assert client.submit(waits, number).new
    print("parent", before.status().state)
"""

FORKED_ASYNC = """
client = AsyncClient()
loop = asyncio.new_event_loop()
loop.run_until_complete(client.submit(waits, 1))
child = os.fork()
if not child:
    try:
        asyncio.run(client.submit(waits, 2))
    except ClientClosed as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent", loop.run_until_complete(client.submit(waits, 3)).new)
loop.run_until_complete(client.close())
loop.close()
"""

UNCLOSED = """
client = Client()
run = client.submit(waits, 1)
print(run.status().state)
"""


@pytest.fixture
def run_program(queue_url: str, store_url: str, tmp_path: Path) -> RunProgram:
    """Runs a program to its end: its exit code and its lines."""
    settings = {
        "MOUSETRAP_BROKER_URL": queue_url,
        "MOUSETRAP_STORE_URL": store_url,
        "MOUSETRAP_SIGNING_KEYS": "test:a-secret-for-the-tests",
    }

    def run(text: str) -> tuple[int, list[str]]:
        file = tmp_path / "program.py"
        file.write_text(_TASK + text)
        with Process([sys.executable, str(file)], clean_environment(**settings), tmp_path) as started:
            return started.wait(seconds=60), started.lines

    return run


def test_after_a_fork_the_child_opens_its_own_connections_and_the_parents_go_on(
    run_program: RunProgram,
) -> None:
    assert run_program(FORKED) == (0, ["child queued queued", "parent queued"])


@on_streams
def test_after_a_fork_an_asynchronous_client_is_a_clear_error(run_program: RunProgram) -> None:
    code, (error, parent) = run_program(FORKED_ASYNC)

    assert (code, parent) == (0, "parent True")
    assert "before the fork: open another in this one, or use Client" in error


def test_a_program_that_forgets_to_close_ends_at_once_and_quietly(run_program: RunProgram) -> None:
    assert run_program(UNCLOSED) == (0, ["queued"])
