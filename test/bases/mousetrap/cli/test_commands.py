"""Commands: quick help, errors in one line, exit codes."""

import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from mousetrap.api_keys import Scope
from mousetrap.catalogue import SAMPLE, WORKERS
from mousetrap.cli import main
from support.ports import closed_port
from support.processes import base_command, clean_environment

pytestmark = pytest.mark.slow

#: Commands that need no API: of those of the catalogue, one.
_READ_SETTINGS = [
    *[("up",), ("runs",), ("migrate",)],
    *([("demo",)] if SAMPLE else []),
    *[("worker", name) for name in WORKERS][:1],
]


def in_a_process(
    folder: Path, *arguments: str, given: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        base_command("cli", *arguments),
        env=clean_environment(COLUMNS="200", **settings),
        cwd=folder,
        input=given,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_names_every_command_and_loads_no_more_than_it_needs(tmp_path: Path) -> None:
    heavy = "{'pydantic', 'httpx', 'redis', 'polars', 'fastapi', 'pika', 'msgspec'}"
    code = f"import sys; from mousetrap.cli import main; main(); print({heavy} & set(sys.modules) or 'light')"
    help = subprocess.check_output(
        [sys.executable, "-c", code, "--help"], env=clean_environment(), cwd=tmp_path, text=True
    )

    assert help.splitlines()[-1] == "light"
    for command in (
        *(
            "demo",
            "up",
            "run",
            "runs",
            "show",
            "cancel",
            "rerun",
            "dead",
            "worker",
            "workers",
            "pipelines",
            "doctor",
        ),
        "keys",
        "new",
        "remove",
    ):
        assert f" {command} " in help


@pytest.mark.parametrize("wheel", [True, False])
def test_the_version_is_that_of_the_wheel_or_that_of_no_release(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wheel: bool
) -> None:
    def version(name: str) -> str:
        if not wheel:
            raise PackageNotFoundError(name)
        return {"mousetrap-cli": "1.2.3"}[name]

    monkeypatch.setattr("importlib.metadata.version", version)

    assert main(["--version"]) == 0
    shown = (
        "mousetrap 1.2.3\n"
        if wheel
        else "mousetrap of a checkout, which has no version: `git log -1` shows where it is\n"
    )
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("runs", "--limit", "0"),
        ("worker",),
        ("worker", "nonsense"),
        ("keys", "new", "A b", "--scope", "run"),
        ("keys", "new", "ci"),
        ("run", "earthquakes", "--input", "@nowhere.json"),
        ("run", "earthquakes", "--expires-in", "soon"),
        ("cancel",),
        ("show", ".."),
        ("show", ""),
        ("runs", "--pipeline="),
        ("runs", "--state", "failed", "--state=running"),
        ("cancel", "--tag", "a", "--tag", "b", "--yes"),
        ("dead", "list", "--queue", "a", "--queue", "b"),
        ("dead", "discard", "--queue", "", "--reason", "contract", "--yes"),
        ("run", "earthquakes", "--key", "\xe9"),
        ("run", "earthquakes", "--key", "a\nb"),
        ("rerun",),
        ("rerun", "r", "--input", "@nowhere.json"),
        ("run", "words", "--input", "to be or not to be"),
        ("dead", "list", "--older-than", "soon"),
        ("dead", "show"),
        ("dead", "redrive"),
        ("dead", "discard"),
        ("dead", "redrive", "--all", "--rate", "0"),
        ("dead", "redrive", "a", "b", "--input", "{}"),
        ("dead", "redrive", "--all", "--input", "{}"),
    ],
)
def test_bad_usage_is_reported_without_a_traceback_and_exits_2(
    mousetrap: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)

    code, printed, reported = mousetrap(*arguments, settings={"COLUMNS": "200"})

    assert (code, printed) == (2, "")
    assert reported and "Traceback" not in reported


def test_the_code_and_the_text_of_bad_usage_are_those_of_the_process(tmp_path: Path) -> None:
    done = in_a_process(tmp_path, "runs", "--limit", "0")

    assert (done.returncode, done.stdout) == (2, "")
    assert "--limit" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("command", _READ_SETTINGS)
def test_a_wrong_setting_is_one_line_that_hides_its_secret_and_exits_2(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = in_a_process(tmp_path, *command, MOUSETRAP_BROKER_URL="ftp://me:secret@there")

    assert done.returncode == 2
    assert "MOUSETRAP_BROKER_URL: write an address" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr


@pytest.mark.parametrize("command", [("run", "earthquakes"), ("runs",), ("show", "r", "--json")])
def test_without_an_api_the_command_that_starts_one_is_named_and_the_exit_code_is_3(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    done = in_a_process(tmp_path, *command, MOUSETRAP_API_URL=url)

    assert done.returncode == 3
    assert done.stderr.startswith(f"mousetrap: cannot reach the API at {url}: start it with `mousetrap up`")
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("base", "usage"),
    [
        ("api", "usage: mousetrap-api "),
        *(
            (
                worker.program.removeprefix("mousetrap."),
                f"usage: {worker.program.replace('.', '-').replace('_', '-')} ",
            )
            for worker in WORKERS.values()
            if worker.program
        ),
        ("cli", "Usage: mousetrap "),
    ],
)
def test_each_program_names_itself_as_it_is_called(base: str, usage: str) -> None:
    help = subprocess.check_output(base_command(base, "--help"), env=clean_environment(), text=True)

    assert help.lstrip().startswith(usage)


def test_a_worker_without_a_name_sees_all_that_there_are(tmp_path: Path) -> None:
    assert in_a_process(tmp_path, "worker").stderr == (
        f"mousetrap: name the workers to run ({', '.join(WORKERS)}), or a file or module with tasks, as words.py; without any, "
        "MOUSETRAP_MODULES names them\n"
    )


def test_every_scope_of_a_key_is_named_where_one_is_made() -> None:
    help = subprocess.check_output(
        base_command("cli", "keys", "new", "--help"), env=clean_environment(COLUMNS="200"), text=True
    )

    for scope in Scope:
        assert re.search(rf"[:,] {scope} \(", help), scope


def test_a_signing_key_is_printed_alone(tmp_path: Path) -> None:
    done = in_a_process(tmp_path, "keys", "signing")
    assert done.returncode == 0
    assert len(done.stdout.split(":")) == 2
    assert len(done.stdout.splitlines()) == 1
