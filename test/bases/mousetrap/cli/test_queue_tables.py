"""Tables of queues on a terminal of 80 columns."""

from typing import Any

from mousetrap.cli.tables.queues import queues_table
from mousetrap.shapes import Queue
from support.terminal import shown


def a_queue(name: str, **more: Any) -> Queue:
    usual = {
        "stages": ("earthquakes.fetch",),
        "ready": 0,
        "running": 0,
        "delayed": 0,
        "dead": 0,
        "consumers": 0,
    }
    rates = {"workers": 0, "slots": 0, "oldest_seconds": 0.0, "in_per_minute": None, "out_per_minute": 0.0}
    return Queue(**{"name": name, **usual, **rates, **more})


def test_queues_fit_into_80_columns_and_one_without_a_worker_is_named() -> None:
    busy: dict[str, Any] = {"ready": 1204, "running": 18, "slots": 20, "workers": 2, "delayed": 6, "dead": 37}
    rates: dict[str, Any] = {"oldest_seconds": 41.3, "in_per_minute": 310.4, "out_per_minute": 1312.6}
    queues = [
        a_queue("start_fetch", **busy, **rates),
        a_queue("data_processing", ready=3, oldest_seconds=360.0, out_per_minute=0.4),
        a_queue("feeds_list", missing=True),
    ]

    assert shown(queues_table(queues)) == (
        "queue              ready   running  later  dead  waits  in/min  out/min\n"
        "───────────────────────────────────────────────────────────────────────\n"
        "start_fetch         1204  18 of 20      6    37   41 s     310     1313\n"
        "data_processing        3    0 of 0      0     0  6 min       ?      0.4\n"
        "feeds_list       missing    0 of 0      0     0              ?        0\n"
        "\n"
        "data_processing has no worker: 3 wait"
    )


def test_without_a_pipeline_it_names_the_next_command() -> None:
    assert "mousetrap worker" in str(queues_table([]))
