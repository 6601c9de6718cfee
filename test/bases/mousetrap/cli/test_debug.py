"""Tests `mousetrap debug` on runs of a real API."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from redis import Redis

from mousetrap.earthquakes import EARTHQUAKES, Feed
from mousetrap.job_queue import connect
from mousetrap.jobs import Done, Failure, GiveUp, Job, Message, Outcome, dead_queue, encode, first_job
from mousetrap.run_store import Granted, open_store
from mousetrap.settings import Settings
from support.api_server import ready
from support.clients import accepted_run, http_client
from support.commands import completed
from support.processes import base_command, clean_environment
from support.valkey import administrator
from support.workbench import connected, on_streams

FEED = {"url": "https://example.org/feed"}
FETCHED = msgspec.json.encode(Feed("One", 1, []))
BROKEN = GiveUp("not-retryable", Failure(kind="tasks.Broken", text="no", traceback="Traceback: here"))

_TASKS = """
from pathlib import Path
from mousetrap.earthquakes import EARTHQUAKES, Feed
from mousetrap.handlers import Binding

def fetch(request):
    Path("called").touch()
    raise LookupError(request.url)

def process(feed, context):
    Path("called").touch()
    raise LookupError(f"{feed.title} {context.attempt} {context.deps}")

FETCH = Binding(pipeline=EARTHQUAKES, stage="fetch", handler=fetch)
PROCESS = Binding(pipeline=EARTHQUAKES, stage="process", handler=process)
"""


class Deployment:
    """An API on one store, with a command line in a folder of tasks."""

    def __init__(self, url: str, queue_url: str, store_url: str, folder: Path) -> None:
        self.url, self.queue_url, self.store_url, self.folder = url, queue_url, store_url, folder
        (folder / "tasks.py").write_text(_TASKS)

    def debug(self, *arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        return completed(
            base_command("cli", "debug", *arguments),
            env=clean_environment(COLUMNS="200", MOUSETRAP_API_URL=self.url),
            cwd=self.folder,
            input=given,
        )

    def start(self) -> str:
        with http_client(self.url) as api:
            return accepted_run(api, "/pipelines/earthquakes/runs", FEED)

    def lead(self, run_id: str, *outcomes: Outcome) -> Job:
        """Ends the run's stages in turn, as workers would; the last of their jobs."""

        async def act() -> Job:
            async with open_store(self.store_url, retention=600) as store:
                run = await store.get(run_id)
                assert run is not None
                job = first_job(
                    run_id=run_id,
                    pipeline=EARTHQUAKES.name,
                    stage="fetch",
                    payload=msgspec.json.encode(FEED),
                    accepted_ms=run.accepted_ms,
                )
                fence = 0
                for number, outcome in enumerate(outcomes):
                    job = job if number == 0 else job.following("process", FETCHED, fence=fence)
                    claim = await store.claim(job, worker="w1", redelivered=False, lease=30)
                    assert isinstance(claim, Granted)
                    last = number == 1 or isinstance(outcome, GiveUp)
                    fence, following = claim.fence, None if last else "process"
                    await store.decide(
                        job, outcome, fence=fence, worker="w1", last=last, next_stage=following
                    )
                return job

        return asyncio.run(act())

    def bury(self, job: Job, queue: str) -> None:
        headers = {
            "mousetrap-reason": "not-retryable",
            "mousetrap-error-type": "tasks.Broken",
            "mousetrap-run": job.run_id,
        }

        async def publish() -> None:
            async with connect(self.queue_url, [queue], name="test") as opened:
                await opened.publish(dead_queue(queue), Message(job.id, encode(job), headers))

        asyncio.run(publish())

    def kept(self) -> dict[bytes, bytes | None]:
        """What the store and the embedded queue hold, without what the API itself renews."""
        with Redis.from_url(administrator(self.store_url)) as store:
            keys = [key for kind in ("run:", "job:", "{") for key in store.keys(f"mousetrap:{kind}*")]
            return {key: store.dump(key) for key in keys}

    def waiting(self) -> list[int]:
        async def count() -> list[int]:
            names = ["start_fetch", "data_processing"]
            async with connect(self.queue_url, names, name="test") as queue:
                await connected(queue, names[0])
                return [await queue.count_ready(each) for name in names for each in (name, dead_queue(name))]

        return asyncio.run(count())


@pytest.fixture
def deployment(queue_url: str, store_url: str, tmp_path: Path) -> Iterator[Deployment]:
    with ready(Settings(broker_url=queue_url, store_url=store_url)) as url:
        yield Deployment(url, queue_url, store_url, tmp_path)


def test_a_dead_job_is_at_hand_and_nothing_runs_or_is_written(deployment: Deployment) -> None:
    run_id = deployment.start()
    deployment.bury(deployment.lead(run_id, Done(msgspec.Raw(FETCHED)), BROKEN), "data_processing")
    before = deployment.kept(), deployment.waiting()

    opened = deployment.debug(
        run_id[:12],
        "--module",
        "tasks.py",
        given="input\nerror.kind\nstage.name\nhandler.__name__\njob.attempt\ncontext.run_id\n",
    )
    unread = (deployment.folder / "called").exists()
    made = deployment.debug(
        run_id,
        "--module",
        "tasks.py",
        given="try:\n    perform(deps=7)\nexcept LookupError as error:\n    print('raised', error)\n\n",
    )

    assert (opened.returncode, opened.stderr) == (0, "")
    assert opened.stdout.splitlines() == [
        "Feed(title='One', generated_ms=1, events=[], skipped={})",
        *("'tasks.Broken'", "'process'", "'process'", "1", f"'{run_id}'"),
    ]
    assert not unread
    assert "raised One 1 7" in made.stdout
    assert (deployment.kept(), deployment.waiting()) == before


@on_streams
def test_a_job_of_a_completed_run_is_at_hand_and_an_error_is_exit_code_1(deployment: Deployment) -> None:
    run_id = deployment.start()
    deployment.lead(run_id, Done(msgspec.Raw(FETCHED)), Done(msgspec.Raw(b"{}")))

    first = deployment.debug(run_id, "--module", "tasks.py", given="input.url\nerror\nperform()\n")
    no_python = deployment.debug(run_id, "--module", "tasks.py", given="1 +\n2\n")
    second = deployment.debug(
        run_id, "--module", "tasks.py", "--stage", "process", "--input", '{"title": 1}', given="input\n"
    )

    assert first.stdout == f"'{FEED['url']}'\n"
    assert (first.returncode, "LookupError: https://example.org/feed" in first.stderr) == (1, True)
    assert (no_python.returncode, no_python.stdout) == (1, "2\n") and "SyntaxError" in no_python.stderr
    assert second.stdout == "{'title': 1}\n"  # it breaks the contract, so it is shown as it is


@on_streams
def test_what_is_not_kept_is_reported_with_advice(deployment: Deployment) -> None:
    run_id = deployment.start()

    early = deployment.debug(run_id, "--stage", "process", "--module", "tasks.py")
    unknown = deployment.debug("no-such-run")
    elsewhere = deployment.debug(run_id, "--module", "tasks.py:PROCESS")

    assert (early.returncode, early.stdout) == (2, "")
    assert "the run did not finish stage 'fetch'" in early.stderr and "--input @FILE" in early.stderr
    assert (unknown.returncode, "no such run" in unknown.stderr) == (2, True)
    assert (elsewhere.returncode, "there is earthquakes.process" in elsewhere.stderr) == (1, True)


@on_streams
def test_a_notebook_has_the_same_names(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = deployment.start()

    done = deployment.debug(run_id, "--module", "tasks.py", "--notebook", "look.ipynb")
    again = deployment.debug(run_id, "--module", "tasks.py", "--notebook", "look.ipynb")

    assert (done.returncode, again.returncode) == (0, 2), done.stderr
    page = json.loads((deployment.folder / "look.ipynb").read_text())
    assert (page["nbformat"], [cell["cell_type"] for cell in page["cells"]]) == (
        4,
        ["markdown", *["code"] * 3],
    )
    monkeypatch.chdir(deployment.folder)
    monkeypatch.syspath_prepend(str(deployment.folder))
    names: dict[str, object] = {}
    exec(page["cells"][1]["source"], names)  # noqa: S102  it is ours
    assert not (deployment.folder / "called").exists()
    assert eval(page["cells"][2]["source"], names).url == FEED["url"]
    with pytest.raises(LookupError, match=r"example\.org/feed"):
        eval(page["cells"][3]["source"], names)
