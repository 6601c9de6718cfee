"""The two short paths serve one pipeline."""

from typing import Any

import httpx


def test_refresh_starts_a_run_of_earthquakes(api: httpx.Client) -> None:
    answer = api.post("/refresh")

    assert answer.json()["status"] == "ok"
    run = api.get(f"/runs/{answer.json()['run_id']}").json()
    assert (run["pipeline"], run["state"]) == ("earthquakes", "queued")


def test_the_root_is_the_newest_summary(api: httpx.Client, worker: Any) -> None:
    assert api.get("/").json() == {}

    worker.complete(api.post("/refresh").json()["run_id"], {"earthquakes": 3})

    assert api.get("/").json() == {"earthquakes": 3}
