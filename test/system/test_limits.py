"""Workers with a limit are killed, and it holds all the same."""

import random
from pathlib import Path

import pytest

from benchmarks.limits import PLACES, SLOTS, Place, round_of, seen
from mousetrap.embedded_valkey import EmbeddedValkey

pytestmark = pytest.mark.servers


def test_never_more_than_a_limit_run_at_once_though_workers_are_killed(
    queue_url: str, own_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    customers = [f"c{number % 8}" for number in range(160)] + ["large"] * 160
    random.Random(3).shuffle(customers)
    place = Place(queue_url, own_valkey.url, tmp_path / "log", "places", work_s=0.05)

    events = round_of(place, customers, workers=3, kill_each=80)

    assert any(event.what == "k" for event in events)
    assert len({event.run for event in events if event.what == "e"}) == len(customers)
    shown = seen(events, customers, 3 * SLOTS)
    assert shown.most == PLACES
