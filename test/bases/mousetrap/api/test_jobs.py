"""The jobs of a run are listed over HTTP."""

from typing import Any

import httpx
import pytest

RUNS = "/pipelines/earthquakes/runs"


def problem(answer: httpx.Response, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    assert found["type"] == f"urn:mousetrap:problem:{kind}", answer.text
    return found


def test_the_jobs_of_a_run_are_listed_with_what_became_of_them(api: httpx.Client, worker: Any) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    waiting = api.get(f"/runs/{run_id}/jobs").json()
    worker.fail(run_id, "no", "where")

    fetch, process = api.get(f"/runs/{run_id}/jobs").json()["jobs"]

    assert [(job["stage"], job["state"]) for job in waiting["jobs"]] == [("fetch", "queued")]
    assert (fetch["id"], fetch["state"], fetch["output"]) == (waiting["jobs"][0]["id"], "done", {})
    assert (fetch["index"], fetch["attempt"], fetch["worker"], fetch["letter"]) == ([], 1, "w1", None)
    assert (process["state"], process["failure"]) == ("failed", {"kind": "Broken", "text": "no"})
    assert process["letter"] == f"/dead/data_processing/{process['id']}"
    assert process["ended_ms"] >= process["began_ms"] > 0


def test_jobs_are_selected_by_stage_and_state_and_come_by_page(api: httpx.Client, worker: Any) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    worker.fail(run_id, "no")

    def listed(**asked: Any) -> Any:
        return api.get(f"/runs/{run_id}/jobs", params=asked).json()

    assert [job["stage"] for job in listed(state="failed")["jobs"]] == ["process"]
    assert listed(state="failed", stage="fetch") == {"jobs": [], "next": None}
    first = listed(limit=1)
    assert ([job["stage"] for job in first["jobs"]], first["next"]) == (["fetch"], "process:")
    assert [job["stage"] for job in listed(after=first["next"])["jobs"]] == ["process"]


@pytest.mark.parametrize(
    ("asked", "where", "why"),
    [
        ({"stage": "halve"}, "query.stage", "has no stage 'halve': it has fetch, process"),
        ({"state": "lost"}, "query.state", "'queued', 'running', 'retrying', 'done', 'failed', 'over'"),
        ({"after": "fetch"}, "query.after", "it is no place in this list"),
        ({"after": "fetch:1.2.3.4"}, "query.after", "it is no place in this list"),
        ({"limit": 201}, "query.limit", "less than or equal to 200"),
    ],
)
def test_a_wrong_question_is_answered_with_the_place(
    api: httpx.Client, asked: dict[str, Any], where: str, why: str
) -> None:
    run_id = api.post(RUNS).json()["run_id"]

    found = problem(api.get(f"/runs/{run_id}/jobs", params=asked), "invalid-request")

    assert found["where"] == where
    assert why in found["detail"]


def test_an_unknown_run_has_no_jobs(api: httpx.Client) -> None:
    problem(api.get("/runs/unknown/jobs"), "unknown-run")
