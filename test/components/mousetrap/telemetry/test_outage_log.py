"""Table test of the outage log: which calls log a line."""

import logging
from collections.abc import Callable

import pytest

from mousetrap.telemetry import OutageLog

BEGAN = "the broker is away: refused"
ENDED = "the broker is back"


@pytest.mark.parametrize(
    ("calls", "lines"),
    [
        ([], []),
        ([lambda log: log.ended()], []),
        ([lambda log: log.began("refused")], [BEGAN]),
        ([lambda log: log.began("refused"), lambda log: log.began("timeout")], [BEGAN]),
        ([lambda log: log.began("refused"), lambda log: log.ended()], [BEGAN, ENDED]),
        (
            [lambda log: log.began("refused"), lambda log: log.ended(), lambda log: log.ended()],
            [BEGAN, ENDED],
        ),
        ([lambda log: log.began("refused"), lambda log: log.ended()] * 2, [BEGAN, ENDED, BEGAN, ENDED]),
        ([lambda log: log.began("refused", "a"), lambda log: log.began("refused", "b")], [BEGAN]),
        (
            [
                lambda log: log.began("refused", "a"),
                lambda log: log.began("x", "b"),
                lambda log: log.ended("a"),
            ],
            [BEGAN],
        ),
        (
            [
                lambda log: log.began("refused", "a"),
                lambda log: log.began("x", "b"),
                lambda log: log.ended("a"),
                lambda log: log.ended("b"),
            ],
            [BEGAN, ENDED],
        ),
        ([lambda log: log.began("refused", "a"), lambda log: log.ended("b")], [BEGAN]),
        (
            [lambda log: log.began("refused"), lambda log: log.began("no queue", repeat=True)],
            [BEGAN, "the broker is away: no queue"],
        ),
        ([lambda log: log.began("refused"), lambda log: log.began("refused", repeat=True)], [BEGAN]),
    ],
)
def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_ends(
    calls: list[Callable[[OutageLog], None]], lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    log = OutageLog(logging.getLogger("test"), "the broker is away", ENDED)
    with caplog.at_level(logging.INFO, "test"):
        for call in calls:
            call(log)
    assert caplog.messages == lines


def test_an_outage_log_is_true_during_an_outage() -> None:
    log = OutageLog(logging.getLogger("test"), "the broker is away", ENDED)
    assert not log
    log.began("refused")
    assert log
    log.ended()
    assert not log
