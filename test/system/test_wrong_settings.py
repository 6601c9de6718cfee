"""Tests that a wrong setting ends each program with exit code 2."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.processes import base_command, clean_environment

pytestmark = pytest.mark.slow
WORKERS_AND_API = ["fetch_worker", "process_worker", "api"]


def ended(base: str, folder: Path, *arguments: Any, **settings: bytes | str) -> tuple[int, str]:
    """The exit code of a program, and its output on standard error."""
    environment = {os.fsencode(name): os.fsencode(text) for name, text in clean_environment().items()}
    given = {os.fsencode(f"MOUSETRAP_{name}"): os.fsencode(text) for name, text in settings.items()}
    done = subprocess.run(
        base_command(base, *arguments),
        env={**environment, **given},
        cwd=folder,
        check=False,
        capture_output=True,
        timeout=60,
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize(
    ("base", "name", "value"),
    [
        *((base, "BROKER_URL", "amqp://u:p@127.0.0.1/v?heartbeat=5") for base in WORKERS_AND_API),
        *((base, "STORE_URL", "valkey://127.0.0.1/0?timeout=x") for base in WORKERS_AND_API),
        ("fetch_worker", "BROKER_URL", "amqp://"),
        ("process_worker", "STORE_URL", "valkey://127.0.0.1/abc"),
        ("api", "STORE_URL", b"valkey://127.0.0.1\xff/0"),
        ("fetch_worker", "SIGNING_KEYS_FILE", "/dev/null"),
        ("process_worker", "SIGNING_KEYS", "x" * 100_000),
        ("api", "TLS_CA", "/etc"),
        ("fetch_worker", "FETCH_ALLOW", "10.0.0.0/8"),
        ("process_worker", "CONCURRENCY", "9" * 5_000),
        ("api", "LOG_LEVEL", "\x1b[2J"),
        ("fetch_worker", "NO_SUCH_\x1b[2JTHING", "1"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(
    tmp_path: Path, base: str, name: str, value: bytes | str
) -> None:
    code, output = ended(base, tmp_path, **{name: value})

    assert code == 2, output
    assert len(output.splitlines()) == 1
    assert output.lstrip("'").startswith(f"MOUSETRAP_{name[:8]}")
    assert output.removesuffix("\n").isprintable()


@pytest.mark.parametrize("url", ["mysql://127.0.0.1/x", "sqlite://", "sqlite:///x.db?mode=ro", "what://x:y"])
def test_an_address_of_no_database_of_ours_is_one_line_and_exit_code_2(tmp_path: Path, url: str) -> None:
    signed = {"SIGNING_KEYS": "test:a-secret-for-the-tests"}  # without keys a warning comes first

    code, output = ended("process_worker", tmp_path, DATABASE_URL=url, **signed)

    assert code == 2, output
    assert output.startswith("MOUSETRAP_DATABASE_URL: ")
    assert len(output.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", b"r\xff"),
        ("run", "earthquakes", "--input", b"\xff"),
        ("worker", "fetch", "--concurrency", "9" * 30),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_2(tmp_path: Path, arguments: tuple[Any, ...]) -> None:
    code, output = ended("cli", tmp_path, *arguments)

    assert code == 2, output
    assert len(output.splitlines()) == 1
