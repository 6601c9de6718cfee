"""Finds a pipeline's newest result, in the run store or on record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Response

from mousetrap.api.problems import Kind, Problem
from mousetrap.api.records import result_of
from mousetrap.api.services import Services


@dataclass(frozen=True, slots=True)
class Latest:
    """A result, and where it is from, for the headers of its answer."""

    result: Any
    headers: Mapping[str, str]


async def find_latest(services: Services, pipeline: str) -> Latest | None:
    """The result of the newest run that completed; from the record once the run store has forgotten all of them.

    Raises StoreUnreachable, Problem for a result that is too large for an answer or unreadable, and RecordAway where there is a record that cannot be read.
    """
    run = await services.store.latest(pipeline)
    if run is not None:
        if (left_out := run.left_out) is not None:
            raise Problem(
                Kind.RESULT_LEFT_OUT,
                f"the result of run {run.id} has {left_out.size} bytes and is in the store of payloads as {left_out.key}: it is too large for "
                "an answer, or unreadable; GET /runs/ID shows which. Wait for the run with a client over the broker instead",
            )
        return Latest(run.result, {"Mousetrap-Run": run.id, "Mousetrap-Source": "run"})
    recorded = await services.records.newest(pipeline)
    if recorded is None:
        return None
    at = recorded.at.isoformat(timespec="milliseconds")
    headers = {"Mousetrap-Run": recorded.run_id, "Mousetrap-Source": "record", "Mousetrap-Recorded": at}
    return Latest(result_of(recorded), headers)


def answer(latest: Latest, response: Response) -> Any:
    """The result, with the headers in `response`."""
    response.headers.update(latest.headers)
    return latest.result
