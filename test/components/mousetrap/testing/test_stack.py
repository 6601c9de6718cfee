"""Tests on the stack: real workers on an embedded server."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from mousetrap.client import AsyncClient
from mousetrap.handlers import chain, task
from mousetrap.outbox import DEFAULT_TABLE, open_engine, open_rows, submit_on_commit
from mousetrap.retry import RetryPolicy
from mousetrap.testing import Flaky, NotCompleted, Stack
from support.outbox import make_outbox

pytestmark = pytest.mark.servers


@task(queue="pages", retry=RetryPolicy(attempts=2, base=0.01))
async def fetch(url: str) -> list[str]:
    return url.split("/")


@task
def count(words: list[str]) -> int:
    return len(words)


wordcount = chain("wordcount", fetch, count)


async def test_a_run_goes_through_real_queue_and_store(stack: Stack) -> None:
    async with stack.serving(wordcount) as served:
        run = await served.submit(wordcount, "a/b")
        assert await run.result() == 2


async def test_a_client_finds_it_and_it_relays_the_outbox_of_a_database(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    make_outbox(url)
    with open_engine(url) as engine, Session(engine) as session, session.begin():
        run_id = submit_on_commit(session, wordcount, "a/b", priority=9)
        submit_on_commit(session, "another", 1)

    async with stack.serving(wordcount) as served:
        for name, value in served.environment.items():
            monkeypatch.setenv(name, value)
        async with AsyncClient() as client, served.relaying(url):
            run = client.run(run_id, wordcount, submitted_within=10)
            assert await run.wait(10) == 2
            assert (await run.status()).priority == 9
    with open_rows(url, DEFAULT_TABLE) as rows:
        assert rows.status().waiting == 1


async def test_a_failed_run_raises_its_handlers_error_with_its_timeline(stack: Stack) -> None:
    error = OSError("no network")
    async with stack.serving(wordcount, handlers={"fetch": Flaky(fails=9, error=error)}) as served:
        run = await served.submit("wordcount", "a/b")
        with pytest.raises(OSError, match="no network") as raised:
            await run.result()
    assert raised.value is error
    assert "gave_up fetch #2" in raised.value.__notes__[0]


async def test_a_run_that_does_not_end_in_time_is_an_error(stack: Stack) -> None:
    released = asyncio.Event()

    async def slow(url: str) -> list[str]:
        await released.wait()
        return []

    async with stack.serving(wordcount, handlers={"fetch": slow}) as served:
        run = await served.submit(wordcount, "a/b")
        with pytest.raises(NotCompleted, match=r"has not ended within 0\.1 s"):
            await run.ended(within=0.1)
        with pytest.raises(ValueError, match="no pipeline 'other' is served; these are: wordcount"):
            await served.submit("other")
        released.set()
        assert await run.result() == 0
