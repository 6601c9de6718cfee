"""The pytest plugin: the fixtures `world` and `stack`, and async tests."""

import asyncio
import functools
import inspect
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mousetrap.testing.stack import Stack
    from mousetrap.testing.world import World

#: Real seconds that an async test may take, unless its marker `test_timeout` gives others.
TEST_TIMEOUT_S = 60.0
_WORLD = pytest.StashKey["World"]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "test_timeout(seconds): how long an asynchronous test may take")


@pytest.fixture
def world(request: pytest.FixtureRequest) -> "Iterator[World]":
    """A world of this test's own, in simulated time. An `async def` test that takes it runs in the world's event loop."""
    from mousetrap.testing.world import World

    made = request.node.stash[_WORLD] = World()
    yield made
    made.close()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Stack]":
    """An embedded Valkey server for the session, for tests in real time."""
    from mousetrap.testing.stack import Stack

    made = Stack(tmp_path_factory.mktemp("stack"))
    made.start()
    yield made
    made.stop()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pycollect_makeitem() -> Generator[None, Any, Any]:
    """Makes a sync test of each async one that takes a world, before another plugin could run it in a loop of its own."""
    made = yield
    for item in made if isinstance(made, list) else ():
        if isinstance(item, pytest.Function) and "world" in item.fixturenames and _is_async(item.obj):
            item.obj = _in_world(item, item.obj)
    return made


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs an async test that pytest-asyncio and anyio leave: those take theirs first.

    As `trylast` it would come after pytest's own hook, which fails every async test.
    """
    if not _is_async(pyfuncitem.obj):
        return None
    given = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def run() -> None:
        async with asyncio.timeout(_timeout_s(pyfuncitem, TEST_TIMEOUT_S)):
            await pyfuncitem.obj(**given)

    asyncio.run(run())
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds what happened in the world to the report of a test that failed in it."""
    report = yield
    world = item.stash.get(_WORLD, None)
    if world is not None and report.when == "call" and report.failed:
        report.sections.append(("what happened in the world", world.log()))
    return report


def _in_world(item: pytest.Function, test: Any) -> Any:
    @functools.wraps(test)
    def run(**given: Any) -> None:
        from mousetrap.testing.world import REAL_LIMIT_S

        item.stash[_WORLD].drive(test(**given), _timeout_s(item, REAL_LIMIT_S))

    return run


def _timeout_s(item: pytest.Function, otherwise: float) -> float:
    marker = item.get_closest_marker("test_timeout")
    return float(marker.args[0]) if marker else otherwise


def _is_async(test: Any) -> bool:
    return inspect.iscoroutinefunction(test)
