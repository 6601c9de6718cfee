"""The settings of queues become their options."""

from dataclasses import fields
from typing import Any

from mousetrap.job_queue import QueueOptions
from mousetrap.job_queue.open_queue import options_of
from mousetrap.settings import Settings


def test_each_setting_of_queues_is_an_option_of_theirs() -> None:
    settings = Settings.from_environ(
        {
            "MOUSETRAP_QUEUE_TYPE": "classic",
            "MOUSETRAP_QUEUE_MAX_LENGTH": "7",
            "MOUSETRAP_CONFIRM_SECONDS": "3",
            "MOUSETRAP_HEARTBEAT_SECONDS": "5",
        }
    )

    assert options_of(settings) == QueueOptions(
        queue_type="classic", max_length=7, confirm_deadline=3.0, heartbeat=5
    )


def test_without_settings_the_options_are_their_defaults() -> None:
    # As it is declared: a test's own publishes wait longer (conftest).
    declared: dict[str, Any] = {field.name: field.default for field in fields(QueueOptions)}

    assert options_of(Settings.from_environ({})) == QueueOptions(**declared)
