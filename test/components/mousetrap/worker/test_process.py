"""Tests how long a suspect stays alone on its message's way."""

from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mousetrap.jobs import Failure, first_job
from mousetrap.run_store import Granted
from mousetrap.worker.attempts import Attempt
from mousetrap.worker.endings import Bury, Drop, Ending, Publish
from mousetrap.worker.process import Processor

JOB = first_job(run_id="r", pipeline="sums", stage="add", payload=b"1", accepted_ms=1)


class Recorder:
    """Grants the job, ends it as given, and notes whether the suspect was alone when it was settled."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending
        self.is_alone = False
        #: Whether it was when its message was settled.
        self.settled: list[bool] = []

    async def run(self, _attempt: Attempt, _claim: Granted, alone: ExitStack) -> Ending:
        self.is_alone = True
        alone.callback(self._leave)
        return self.ending

    async def settle(self, *_: Any) -> None:
        self.settled.append(self.is_alone)

    def end(self, _attempt: Attempt) -> None:
        """The attempt is over."""

    def _leave(self) -> None:
        self.is_alone = False


@pytest.mark.parametrize(
    ("ending", "alone"),
    [
        # Another suspect that kills the worker before the letter's message is gone would make a second letter.
        (Bury(JOB, "max-retries", Failure(kind="Error", text="text", traceback="")), True),
        # A full queue may wait for what others of this worker take from it.
        (Publish(JOB, "double"), False),
        (Drop(), False),
    ],
)
async def test_a_suspect_stays_alone_until_its_dead_letter_is_settled(ending: Ending, alone: bool) -> None:
    recorder = Recorder(ending)
    any_of_it = cast(Any, recorder)
    all_of_it = (any_of_it, any_of_it, any_of_it, any_of_it, any_of_it, any_of_it)
    processor = Processor(*all_of_it, cast(Any, SimpleNamespace()))
    attempt = Attempt(JOB, "add", cast(Any, None), None, [], cast(Any, None))
    attempt.alone, attempt.claim = True, Granted(fence=1, starts=2, suspect=True)

    await processor.process(attempt)

    assert recorder.settled == [alone]
    assert not recorder.is_alone
