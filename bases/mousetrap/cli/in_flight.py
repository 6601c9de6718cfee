"""Reads the jobs that are in flight or dead."""

from collections.abc import Iterator
from contextlib import suppress

from mousetrap.api_client import Api, LetterFilter, Misused, RunFilter
from mousetrap.jobs import Job, decode
from mousetrap.repeat_attempt import NotRepeatable, case_of_letter
from mousetrap.shapes import RunState

#: The states of runs that have not ended, and how many runs of each are read: one request each.
_STATES, _MOST = (RunState.QUEUED, RunState.RUNNING, RunState.RETRYING), 200


def jobs_in_flight(api: Api) -> Iterator[Job]:
    """The newest jobs in flight, and those of all dead letters that a handler was called for."""
    for state in _STATES:
        for run in api.runs(RunFilter(state=state), limit=_MOST).value.runs:
            with suppress(Misused):  # its input is not kept any more, or the run has moved on
                yield decode(api.job(run.id, run.stage))
    for line in api.export(LetterFilter()):
        if b'"headers"' in line:
            with suppress(NotRepeatable):
                yield case_of_letter(line).job
