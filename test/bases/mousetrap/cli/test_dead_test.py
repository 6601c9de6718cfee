"""Tests `mousetrap dead test` on letters of a real API."""

import asyncio
import json
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from mousetrap.earthquakes import EARTHQUAKES
from mousetrap.job_queue import connect
from mousetrap.jobs import Job, Message, dead_queue, encode, first_job
from mousetrap.settings import Settings
from support.api_server import ready
from support.commands import completed
from support.processes import Process, base_command, clean_environment
from support.waiting import until
from support.workbench import just_now_ms, on_streams

Command = Callable[..., subprocess.CompletedProcess[str]]

_TASKS = """
from mousetrap.earthquakes import EARTHQUAKES, Feed
from mousetrap.handlers import Binding

def handle(request):
    {does}

FETCH = Binding(pipeline=EARTHQUAKES, stage="fetch", handler=handle)
"""
_FIXED = "return Feed(title='', generated_ms=0, events=[])"


@pytest.fixture
def url(queue_url: str, store_url: str) -> Iterator[str]:
    """The address of an API on either queue in turn."""
    with ready(Settings(broker_url=queue_url, store_url=store_url)) as url:
        yield url


@pytest.fixture
def command(url: str, tmp_path: Path) -> Command:
    """Runs a command against that API."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return completed(
            base_command("cli", *arguments),
            env=clean_environment(COLUMNS="200", MOUSETRAP_API_URL=url),
            cwd=tmp_path,
        )

    return run


def bury(queue_url: str, payload: bytes, reason: str = "max-retries", **fields: object) -> Job:
    """The job of a new dead letter of the stage `fetch`."""
    job = first_job(
        run_id="r1", pipeline=EARTHQUAKES.name, stage="fetch", payload=payload, accepted_ms=just_now_ms()
    )
    job = msgspec.structs.replace(job, **fields)
    story = {"reason": reason, "error-type": "tasks.Broken", "error": "no", "at": str(just_now_ms())}
    headers = {f"mousetrap-{name}": text for name, text in story.items()}

    async def publish() -> None:
        async with connect(queue_url, ["start_fetch"], name="test") as queue:
            await queue.publish(dead_queue("start_fetch"), Message(job.id, encode(job), headers))

    asyncio.run(publish())
    return job


def run_pytest(file: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            sys.executable,
            "-B",
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            file.parent,
            file,
        ],
        cwd=file.parent,
        env=clean_environment(COLUMNS="200", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@on_streams
def test_a_letter_becomes_a_test_of_the_handler_in_a_file(
    command: Command, queue_url: str, tmp_path: Path
) -> None:
    job = bury(queue_url, b'{"url": "https://example.org/secret?token=hush"}')
    tasks = tmp_path / "tasks.py"
    tasks.write_text(_TASKS.format(does="raise LookupError(request.url)"))
    (tmp_path / "tests").mkdir()

    done = command("dead", "test", job.id[:8], "--module", "tasks.py")
    again = command("dead", "test", job.id, "--module", "tasks.py")
    forced = command("dead", "test", job.id, "--module", "tasks.py", "--force")

    written = tmp_path / "tests" / f"test_dead_{job.id[:12]}.py"
    assert (done.returncode, done.stderr) == (0, "")
    assert str(written.relative_to(tmp_path)) in done.stdout
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert (again.returncode, "pass --force" in again.stderr) == (2, True)
    assert forced.returncode == 0
    text = written.read_text()
    assert "from tasks import FETCH" in text and "repeat(FETCH, JOB)" in text
    assert "nothing in it is masked" in text and "token=hush" in text
    assert "LookupError: https://example.org/secret?token=hush" in run_pytest(written).stdout
    tasks.write_text(_TASKS.format(does=_FIXED))
    fixed = run_pytest(written)
    assert "1 passed" in fixed.stdout, fixed.stdout


@on_streams
def test_a_letter_becomes_a_test_of_the_catalogue_s_handler(
    command: Command, queue_url: str, tmp_path: Path
) -> None:
    job = bury(queue_url, b'{"url": 1}', "contract")

    done = command("dead", "test", job.id, "--output", "test_it.py")

    assert (done.returncode, done.stderr) == (0, "")
    report = run_pytest(tmp_path / "test_it.py").stdout
    assert "ContractBroken: the input of stage 'fetch': Expected `str`, got `int` (at $.url)" in report


@on_streams
def test_a_large_input_is_in_a_file_beside_the_test(command: Command, queue_url: str, tmp_path: Path) -> None:
    payload = msgspec.json.encode({"url": f"https://example.org/{'x' * 5_000}"})
    job = bury(queue_url, payload)
    (tmp_path / "tasks.py").write_text(_TASKS.format(does="pass"))

    done = command("dead", "test", job.id, "--module", "tasks.py:FETCH", "--output", "test_it.py")

    assert "test_it.py and test_it.json" in done.stdout
    assert (tmp_path / "test_it.json").read_bytes() == payload
    assert stat.S_IMODE((tmp_path / "test_it.json").stat().st_mode) == 0o600
    assert "Expected `str` of length <= 2048" in run_pytest(tmp_path / "test_it.py").stdout


@on_streams
def test_what_has_no_test_is_refused_with_advice(command: Command, queue_url: str, tmp_path: Path) -> None:
    unknown = bury(queue_url, b"{}", "unknown-stage")
    elsewhere = bury(queue_url, b"{}", id="elsewhere", stage="paint")
    (tmp_path / "broken.py").write_text("import nothing_of_this_name")

    for arguments, code, advice in (
        ((unknown.id,), 1, "start a worker that has one"),
        ((elsewhere.id,), 1, "there is earthquakes.fetch, feeds.list, feeds.fetch, earthquakes.process"),
        (("no-such-id",), 2, "there is no dead letter no-such-id"),
        ((elsewhere.id, "--module", "broken.py"), 2, "nothing_of_this_name"),
        ((elsewhere.id, "--module", "gone.py"), 2, "check the path"),
    ):
        done = command("dead", "test", *arguments)
        assert (done.returncode, advice in done.stderr) == (code, True), done.stderr
    assert list(tmp_path.glob("test_*")) == []


_WORDS = """
import os
from mousetrap.handlers import chain, task
from mousetrap.retry import RetryPolicy

ONCE = RetryPolicy(attempts=1)

@task(retry=ONCE)
def split(text: str) -> list[str]:
    return text.split()

@task(retry=ONCE)
def count(words: list[str]) -> int:
    {does}

wordcount = chain("wordcount", split, count)
"""


def test_the_dead_letter_of_a_chain_of_tasks_becomes_a_test(
    start_base: Callable[..., Process], url: str, queue_url: str, store_url: str, tmp_path: Path
) -> None:
    servers = {"MOUSETRAP_BROKER_URL": queue_url, "MOUSETRAP_STORE_URL": store_url}
    file = tmp_path / "words.py"
    file.write_text(_WORDS.format(does="return len(words) // 0"))
    start_base("cli", "worker", "words.py", **servers).wait_for_line("serving count")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = base_command("cli", *arguments)
        environment = clean_environment(COLUMNS="200", MOUSETRAP_API_URL=url)
        return completed(command, env=environment, cwd=tmp_path, input="input")

    failed = run("run", "wordcount", "--input", '"two words"', "--json")
    # The failure is recorded first, and its letter published then.
    letter = until(
        lambda: json.loads(run("dead", "list", "--json").stdout)["letters"], "its letter is there"
    )[0]
    written = run("dead", "test", letter["id"], "--module", "words.py", "--output", "test_it.py")
    debugged = run("debug", letter["run_id"], "--module", "words.py")

    assert (failed.returncode, letter["error_kind"]) == (1, "ZeroDivisionError"), failed.stderr
    assert (written.returncode, written.stderr) == (0, "")
    assert "from words import wordcount" in (tmp_path / "test_it.py").read_text()
    assert "ZeroDivisionError" in run_pytest(tmp_path / "test_it.py").stdout
    assert debugged.stdout == "['two', 'words']\n"
    file.write_text(_WORDS.format(does="return len(words)"))
    assert "1 passed" in run_pytest(tmp_path / "test_it.py").stdout
