"""Runs commands in this process, and an API for them."""

import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

import httpx
import pytest

from mousetrap.cli import main
from mousetrap.settings import Settings
from support.api_server import ready
from support.clients import http_client
from support.processes import clean_environment


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def mousetrap(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs a command in this process, with these settings alone."""

    def run(*arguments: str, settings: dict[str, str]) -> Done:
        monkeypatch.setattr("os.environ", clean_environment(**settings))
        return Done(main(arguments), *capsys.readouterr())

    return run


@pytest.fixture
def url(store_url: str) -> Iterator[str]:
    """The address of an API without workers: in a thread. A process took 2.4 s of processor time on a busy machine."""
    with ready(Settings(broker_url=store_url, store_url=store_url)) as url:
        yield url


@pytest.fixture
def api(url: str) -> Iterator[httpx.Client]:
    """A client of that API."""
    with http_client(url) as client:
        yield client


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that logs to standard error does so to the test's, which is closed when the next test logs."""
    before, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = before
    logging.root.setLevel(level)


@pytest.fixture(autouse=True)
def _no_forced_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
