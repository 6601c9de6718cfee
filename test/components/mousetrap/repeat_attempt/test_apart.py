"""Tests the errors and the end of an attempt's own process."""

import os
import signal
from collections.abc import Callable

import pytest

from mousetrap.handlers import AttemptFailed, Binding
from mousetrap.jobs import Job, first_job
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.repeat_attempt import apart, repeat_apart


class Refused(Exception):
    """What a library raises, with an address in its text."""


def _refuse(number: int) -> int:
    raise Refused("amqp://user:sesamesesame@host/ refused us")


def _stop(number: int) -> int:
    os.kill(os.getpid(), signal.SIGSTOP)
    return number


def _bound(handler: Callable[[int], int], timeout: float | None = None) -> Binding:
    stage = Stage(name="work", queue="work", input=int, output=int, timeout=timeout)
    return Binding(
        pipeline=Pipeline(name="work", description="Works.", stages=(stage,)), stage="work", handler=handler
    )


def refusing() -> Binding:
    return _bound(_refuse)


def stopping() -> Binding:
    return _bound(_stop, timeout=0.5)


def test_no_secret_of_an_error_is_shown() -> None:
    with pytest.raises(AttemptFailed, match=r"Refused: amqp://.*host/ refused us") as caught:
        repeat_apart(refusing, _job())

    assert "sesamesesame" not in f"{caught.value} {caught.value.failure}"


def test_a_process_that_hangs_is_killed_after_the_time_limit_of_its_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(apart, "_AROUND_S", 1.5)

    with pytest.raises(AttemptFailed, match=r"did not end within 2 s, and was killed"):
        repeat_apart(stopping, _job())


def _job() -> Job:
    return first_job(run_id="one", pipeline="work", stage="work", payload=b"1", accepted_ms=1)
