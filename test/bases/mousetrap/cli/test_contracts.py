"""Tests `mousetrap contracts` on files, commits and live inputs."""

import asyncio
import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mousetrap.job_queue import connect
from mousetrap.jobs import Message, dead_queue, encode, first_job
from support.clients import accepted_run, http_client
from support.processes import Process, base_command, clean_environment
from support.stack import url_once_ready

pytestmark = pytest.mark.slow

#: A catalogue that lies before the project's own, with one worker of modules.
_CATALOGUE = """
from collections import namedtuple
from mousetrap.catalogue_entries import Worker

SETTINGS, MIGRATIONS, RENDERERS, INPUTS, RECORDS, ROOT_PIPELINE, SAMPLE, SCHEDULES = (), {{}}, {{}}, {{}}, {{}}, None, None, ()
PIPELINES = {pipelines}
WORKERS = {{"words": {worker}}}
"""
_TASKS = """
import msgspec
from mousetrap.handlers import task

class Page(msgspec.Struct):
    url: str
    {field}

@task
def fetch(page: Page) -> int:
    return 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository whose first commit has one task."""
    write(tmp_path, "size: int = 0")
    commit(tmp_path)
    return tmp_path


def write(folder: Path, field: str) -> None:
    (folder / "tasks.py").write_text(_TASKS.format(field=field))


def commit(folder: Path) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "one")):
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)


def contracts(folder: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return contracts_of_catalogue(folder, *arguments, "--module", "tasks.py", **settings)


def contracts_of_catalogue(
    folder: Path, *arguments: str, **settings: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        base_command("cli", "contracts", *arguments),
        env=clean_environment(**settings, PYTHONDONTWRITEBYTECODE="1"),
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("against", ["recorded.json", "HEAD"])
def test_a_break_ends_with_1_and_a_compatible_change_with_0(folder: Path, against: str) -> None:
    assert (
        contracts(folder, "record", "recorded.json").stdout
        == "wrote recorded.json: earthquakes, feeds, fetch\n"
    )
    same = contracts(folder, "check", "--against", against)
    write(folder, "size: int = 0; colour: str = ''")
    compatible = contracts(folder, "check", "--against", against, "-v")
    write(folder, "colour: str")
    breaking = contracts(folder, "check", "--against", against)

    assert (same.returncode, same.stdout, same.stderr) == (0, "no contract changed\n", "")
    assert (compatible.returncode, compatible.stderr) == (0, "")
    assert "compatible fetch.fetch input $: the contract of its input changed" in compatible.stdout
    assert breaking.returncode == 1
    assert (
        "breaks queued fetch.fetch input $.colour: it is required, and is not always written"
        in breaking.stdout
    )
    assert "deploy: let the queue run empty" in breaking.stdout
    worktrees = subprocess.run(
        ["git", "worktree", "list"], cwd=folder, check=True, capture_output=True, text=True
    )
    assert len(worktrees.stdout.splitlines()) == 1


def catalogue(folder: Path, worker: str, pipelines: str = "{}") -> None:
    (folder / "mousetrap").mkdir(exist_ok=True)
    (folder / "mousetrap" / "catalogue.py").write_text(_CATALOGUE.format(worker=worker, pipelines=pipelines))


def test_a_break_in_the_tasks_of_the_catalogues_workers_is_found(folder: Path) -> None:
    catalogue(folder, "Worker(modules=('tasks',))")
    commit(folder)
    same = contracts_of_catalogue(folder, "check", "--against", "HEAD")
    write(folder, "colour: str")
    breaking = contracts_of_catalogue(folder, "check", "--against", "HEAD", "--json")

    assert (same.returncode, same.stdout, same.stderr) == (0, "no contract changed\n", "")
    assert breaking.returncode == 1
    (change,) = json.loads(breaking.stdout)["changes"]
    assert (change["breaks"], change["pipeline"]) == ("queued", "fetch")


def test_entries_of_an_older_commit_need_no_modules(folder: Path) -> None:
    catalogue(folder, "namedtuple('Older', 'binder')('fetch:bind')")
    commit(folder)
    catalogue(folder, "Worker(modules=('tasks',))")
    added = contracts_of_catalogue(folder, "check", "--against", "HEAD", "-v")

    assert (added.returncode, added.stderr) == (0, "")
    assert "compatible fetch: the pipeline is new" in added.stdout


@pytest.mark.parametrize("absolute", [False, True])
def test_a_break_in_the_modules_of_the_environment_is_found(folder: Path, absolute: bool) -> None:
    target = str(folder / "tasks.py") if absolute else "tasks.py"
    (folder / "later.py").write_text(_TASKS.format(field="").replace("def fetch", "def later"))
    modules = {"MOUSETRAP_MODULES": f"fetch, {target}, later"}  # the first is a worker of the catalogue
    check = ("check", "--against", "HEAD", "-v")
    added = contracts_of_catalogue(folder, *check, **modules)
    write(folder, "colour: str")
    breaking = contracts_of_catalogue(folder, *check, **modules)

    assert (added.returncode, added.stderr) == (0, "")
    assert "compatible later: the pipeline is new" in added.stdout
    assert breaking.returncode == 1
    assert "breaks queued fetch.fetch input $.colour: it is required" in breaking.stdout


def test_what_cannot_be_compared_is_refused_with_advice(folder: Path) -> None:
    nothing = contracts(folder, "check", "--against", "no-such-thing")
    (folder / "wrong.json").write_text("{}")
    wrong = contracts(folder, "check", "--against", "wrong.json")
    write(folder, "import nothing_of_this_name")
    now = contracts(folder, "check", "--against", "HEAD")
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qam", "broken"],
        cwd=folder,
        check=True,
    )
    write(folder, "size: int = 0")
    then = contracts(folder, "check", "--against", "HEAD")

    assert (nothing.returncode, "neither a file nor a commit" in nothing.stderr) == (2, True)
    assert (wrong.returncode, "contracts record FILE" in wrong.stderr) == (2, True)
    assert (now.returncode, "nothing_of_this_name" in now.stderr) == (2, True)
    assert (then.returncode, "nothing_of_this_name" in then.stderr) == (1, True)
    assert "the code of HEAD cannot be imported" in then.stderr


_PACKED = """
from typing import TypedDict
from mousetrap.handlers import task
from mousetrap.pipeline import Serializer

class Page(TypedDict):
    {field}: str

@task(serializer=Serializer("{serializer}", lambda value: repr(value).encode(), lambda data: eval(data)))
def own(page: Page) -> int:
    return 1
"""


def test_a_dead_letter_of_a_custom_serializer_is_read_too(
    tmp_path: Path, start_base: Callable[..., Process], store_url: str
) -> None:
    def checked(field: str, serializer: str) -> tuple[int, str]:
        (tmp_path / "tasks.py").write_text(_PACKED.format(field=field, serializer=serializer))
        contracts_of_catalogue(tmp_path, "record", "recorded.json")
        done = contracts_of_catalogue(
            tmp_path, "check", "--against", "recorded.json", "--live", MOUSETRAP_API_URL=url
        )
        return done.returncode, done.stdout

    (tmp_path / "tasks.py").write_text(_PACKED.format(field="url", serializer="one"))
    catalogue(tmp_path, "Worker(modules=('tasks',))", "{'own': __import__('tasks').own.pipeline}")
    url = start_api(start_base, store_url)
    asyncio.run(bury(store_url))

    fits, narrower, renamed = checked("url", "one"), checked("address", "one"), checked("url", "other")

    assert fits == (0, "no contract changed\n")
    assert (narrower[0], "1 inputs of own.own are refused" in narrower[1]) == (1, True)
    assert (renamed[0], "the message is written with serializer 'one'" in renamed[1]) == (1, True)


async def bury(url: str) -> None:
    """Makes a dead letter of the stage `own`, whose serializer is `one`."""
    payload = b'"' + base64.b64encode(b"{'url': 'here'}") + b'"'
    job = first_job(run_id="r1", pipeline="own", stage="own", payload=payload, accepted_ms=1)
    job = msgspec.structs.replace(job, v=3, serializer="one")
    headers = {"mousetrap-reason": "not-retryable", "mousetrap-error-type": "Broken", "mousetrap-run": "r1"}
    async with connect(url, ["own"], name="test") as queue:
        await queue.publish(dead_queue("own"), Message(job.id, encode(job), headers))


def start_api(start_base: Callable[..., Process], store_url: str) -> str:
    api = start_base(
        "api", MOUSETRAP_BROKER_URL=store_url, MOUSETRAP_STORE_URL=store_url, MOUSETRAP_API_PORT="0"
    )
    return url_once_ready(api)


def test_inputs_in_flight_are_read_under_the_contracts_of_now(
    folder: Path, start_base: Callable[..., Process], store_url: str
) -> None:
    url = start_api(start_base, store_url)
    with http_client(url) as api:
        accepted_run(api, "/pipelines/earthquakes/runs", {"url": "https://example.org"})
    contracts(folder, "record", "recorded.json")
    live = ("check", "--against", "recorded.json", "--live")
    fits = contracts(folder, *live, MOUSETRAP_API_URL=url)
    (folder / "tasks.py").write_text(
        "from mousetrap.handlers import Binding\nfrom mousetrap.pipeline import Pipeline, Stage\n"
        "ONE = Pipeline(name='earthquakes', description='d', stages=("
        "Stage(name='fetch', queue='start_fetch', input=int, output=int),))\n"
        "BINDING = Binding(pipeline=ONE, stage='fetch', handler=abs)\n"
    )
    refused = contracts(folder, *live, MOUSETRAP_API_URL=url)

    assert (fits.returncode, fits.stdout) == (0, "no contract changed\n"), fits.stderr
    assert refused.returncode == 1
    assert "in flight: 1 inputs of earthquakes.fetch are refused, as of run" in refused.stdout
