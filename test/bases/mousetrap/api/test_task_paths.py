"""The paths of another task server show runs and cancel them."""

from typing import Any

import httpx
import pytest

from mousetrap.api.task_paths import task_state
from mousetrap.shapes import Event, Failure, Run, RunState


def test_the_paths_of_a_task_server_list_show_and_cancel_runs(api: httpx.Client, worker: Any) -> None:
    done, waiting = (api.post("/refresh").json()["run_id"] for _ in range(2))
    worker.complete(done, {"earthquakes": 3})

    assert sorted(api.get("/@amqp-tasks").json()) == sorted([done, waiting])
    shown = api.get(f"/@amqp-tasks/{done}").json()
    assert (shown["status"], shown["result"], shown["job_retries"]) == ("finished", {"earthquakes": 3}, 0)
    assert shown["eventlog"][0][1] == "accepted fetch"
    assert api.get(f"/@amqp-tasks/{waiting}").json()["status"] == "scheduled"

    assert api.delete(f"/@amqp-tasks/{waiting}").json() is True
    assert api.get(f"/@amqp-tasks/{waiting}").json()["status"] == "canceled"
    assert api.get(f"/runs/{waiting}").json()["state"] == "cancelled"
    assert api.delete(f"/@amqp-tasks/{done}").status_code == 409
    assert api.get("/@amqp-tasks/unknown").status_code == 404


@pytest.mark.parametrize("state", RunState)
def test_every_state_has_a_word(state: RunState) -> None:
    events = (
        Event(id="1-0", kind="accepted", at_ms=1000),
        Event(id="2-0", kind="retrying", at_ms=2500, stage="fetch"),
    )
    failure = Failure(kind="OSError", text="away")

    shown = task_state(
        Run(
            id="r",
            state=state,
            pipeline="p",
            stage="fetch",
            accepted_ms=1000,
            updated_ms=2500,
            timeline=events,
            failure=failure,
        )
    )

    ended_without_result = state not in (RunState.COMPLETED, RunState.CANCELLED) and (
        state.ended or state == RunState.UNREADABLE
    )
    assert (shown.status == "errored") is ended_without_result
    assert (shown.updated, shown.job_retries, shown.error) == (2.5, 1, "OSError: away")
    assert shown.eventlog == [(1.0, "accepted"), (2.5, "retrying fetch")]
