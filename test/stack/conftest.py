"""Starts the stacks for `make stack-test`."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from stack.composed import IMAGES, Composed, composed, docker

#: What `pytest_terminal_summary` prints.
_FACTS = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FACTS] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[_FACTS]:
        terminalreporter.section("the stack")
        for fact in config.stash[_FACTS]:
            terminalreporter.write_line(fact)


@pytest.fixture(scope="session")
def facts(pytestconfig: pytest.Config) -> list[str]:
    """Lines for the end of the output: what was measured."""
    return pytestconfig.stash[_FACTS]


@pytest.fixture(scope="session")
def images(facts: list[str]) -> dict[str, str]:
    """The image of each project; `make stack-test` has built them."""
    for image in IMAGES.values():
        size = int(docker("image", "inspect", "--format", "{{.Size}}", image))
        facts.append(f"{image:<26}{size / 1e6:>6.0f} MB")
    return IMAGES


@pytest.fixture(scope="module")
def stack(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """One node of each server; a module's tests share it, and leave it running."""
    with composed(tmp_path_factory.mktemp("stack"), "offline") as stack:
        yield stack


@pytest.fixture(scope="module")
def cluster(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """The same on three RabbitMQ nodes."""
    with composed(tmp_path_factory.mktemp("cluster"), "cluster", "offline") as stack:
        yield stack


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    """Callers of the API, who come at the same time."""
    with ThreadPoolExecutor(20) as clients:
        yield clients
