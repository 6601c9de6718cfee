"""Tests that a process stops at any moment of its start."""

import os
import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.ports import closed_port
from support.processes import Process, base_command, clean_environment
from support.stack import SIGNING_KEYS

pytestmark = [pytest.mark.servers, pytest.mark.slow]
#: How often each is started (a search asks for more), and seconds after which a start is over even on a busy machine.
STARTS, OVER = int(os.environ.get("MOUSETRAP_STOPS_AT_START", "2")), 3.0
#: Seconds of grace, and seconds in which a process has ended for certain.
GRACE, ENDED = 2, 60


@pytest.fixture
def moments() -> Iterator[random.Random]:
    """Chance, whose seed is shown when a test fails."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    yield random.Random(seed)


@pytest.mark.parametrize("there", [True, False], ids=["with servers", "without servers"])
@pytest.mark.parametrize("base", ["fetch_worker", "process_worker", "api"])
@pytest.mark.parametrize("signals", [1, 2])
def test_a_process_ends_when_it_is_asked_to_at_any_moment_of_its_start(
    base: str,
    there: bool,
    signals: int,
    request: pytest.FixtureRequest,
    moments: random.Random,
    tmp_path: Any,
) -> None:
    url = request.getfixturevalue("store_url") if there else f"valkey://127.0.0.1:{closed_port()}"
    settings = {
        "MOUSETRAP_BROKER_URL": url,
        "MOUSETRAP_STORE_URL": url,
        "MOUSETRAP_SIGNING_KEYS": SIGNING_KEYS,
        "MOUSETRAP_GRACE_SECONDS": str(GRACE),
        "MOUSETRAP_API_PORT": "0",
        "MOUSETRAP_DATABASE_URL": f"sqlite:///{tmp_path}/summaries.db",
    }
    for _ in range(STARTS):
        with Process(base_command(base), clean_environment(**settings), tmp_path) as process:
            _pause(moments)
            for _ in range(signals):
                if process.running:
                    process.send(signal.SIGTERM)
            # Before it listens to signals the system ends it.
            assert process.wait(ENDED) in (0, 75, -signal.SIGTERM), process.output


def _pause(moments: random.Random) -> None:
    """Until some moment of a start; here the time is the point, and no event is waited for."""
    time.sleep(moments.uniform(0.1, OVER))
