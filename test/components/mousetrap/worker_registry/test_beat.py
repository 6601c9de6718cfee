"""When a worker counts as stale, for certain."""

import msgspec
import pytest

from mousetrap.worker_registry.beat import read_worker
from support.heartbeats import a_heartbeat

BEAT = a_heartbeat(state="draining")


@pytest.mark.parametrize(("silent_ms", "state"), [(0, "draining"), (15_000, "draining"), (15_001, "stale")])
def test_a_worker_is_stale_once_three_of_its_beats_are_missing(silent_ms: int, state: str) -> None:
    seen = read_worker(
        msgspec.json.encode(BEAT), started_ms=100, seen_ms=1_000_000, now_ms=1_000_000 + silent_ms
    )

    assert seen is not None
    assert (seen.state, seen.silent, seen.started_ms) == (state, silent_ms / 1000, 100)
    assert (seen.name, seen.done, seen.failed) == ("w1", 3, 1)


def test_a_beat_that_another_version_sent_is_passed_over() -> None:
    beat = msgspec.json.encode(BEAT).replace(b"draining", b"dancing")

    assert read_worker(beat, started_ms=0, seen_ms=0, now_ms=0) is None
