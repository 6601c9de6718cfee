"""Exports runs over HTTP, as lines or as a table."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mousetrap.api import export
from support.ports import closed_port

RUNS = "/pipelines/earthquakes/runs"


def rows(answer: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_runs_of_a_filter_are_exported_as_a_list_has_them(api: httpx.Client, worker: Any) -> None:
    failed, waiting = (api.post(RUNS, params={"tags": "nightly"}).json()["run_id"] for _ in range(2))
    api.post(RUNS)
    worker.fail(failed, "no")

    answer = api.get("/export/runs", params={"tag": "nightly"})
    table = rows(api.get("/export/runs", params={"tag": "nightly", "format": "csv"}))

    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines == api.get("/runs", params={"tag": "nightly"}).json()["runs"]
    assert {it["id"] for it in lines} == {failed, waiting}
    (row,) = [it for it in table if it["id"] == failed]
    assert (row["state"], row["text"], row["tags"]) == ("failed", "no", "nightly")
    assert row["accepted"].endswith("+00:00") and float(row["seconds"]) >= 0
    assert len(table) == 2


def test_an_export_reads_page_by_page_and_is_bounded(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = [api.post(RUNS).json()["run_id"] for _ in range(5)]
    monkeypatch.setattr(export, "_PAGE", 2)
    assert [it["id"] for it in rows(api.get("/export/runs?format=csv"))] == started[::-1]

    monkeypatch.setattr(export, "_MOST", 3)
    assert [it["id"] for it in rows(api.get("/export/runs?format=csv"))] == started[:1:-1]


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1", "@x", "\tx"])
def test_no_text_from_outside_is_a_formula(api: httpx.Client, worker: Any, text: str) -> None:
    worker.fail(api.post(RUNS).json()["run_id"], text)

    (row,) = rows(api.get("/export/runs?format=csv"))

    assert row["text"] == f"'{text}"


def test_without_runs_a_table_has_its_head_alone(api: httpx.Client) -> None:
    assert api.get("/export/runs").text == ""
    assert api.get("/export/runs?format=csv").text.startswith("id,pipeline,state")


def test_a_wrong_filter_and_a_store_that_is_away_are_problems(
    api: httpx.Client, serve: Callable[..., httpx.Client]
) -> None:
    assert api.get("/export/runs?format=xml").status_code == 422
    assert api.get("/export/runs?tag=a&tag=b").status_code == 422

    away = serve(store_url=f"valkey://127.0.0.1:{closed_port()}/0")
    assert away.get("/export/runs").status_code == 503
