"""Checks the pages of runs over a real API and worker."""

import re
import sys
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Match, Route

from mousetrap.api_keys import new_key
from mousetrap.dashboard.pages import ROUTES
from support import waiting_worker
from support.dashboard import OWN_FORM
from support.hostile import check_harmless
from support.operations import ended
from support.processes import Process, clean_environment
from support.stack import SIGNING_KEYS
from support.waiting import until

READ, READ_ENTRY = new_key("reader", ["read"], bytes(32))
TABS = ("timeline", "input", "result", "jobs", "logs", "lineage")
#: Forms of the layout, which are no page's.
LAYOUT = ("/ui/theme", "/ui/search", "/ui/sign-out")


Serve = Callable[..., httpx.Client]


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    return serve(signing_keys=SIGNING_KEYS)


@pytest.fixture
def worker(store_url: str) -> Iterator[Process]:
    """Serves the pipelines of `support/waiting_worker.py`."""
    environment = {
        "MOUSETRAP_BROKER_URL": store_url,
        "MOUSETRAP_STORE_URL": store_url,
        "MOUSETRAP_SIGNING_KEYS": SIGNING_KEYS,
        "MOUSETRAP_CONCURRENCY": "4",
        "PYTHONPATH": str(Path(waiting_worker.__file__).parents[1]),
    }
    process = Process([sys.executable, str(waiting_worker.__file__)], clean_environment(**environment))
    process.wait_for_line("serving waiting_do")
    yield process
    process.kill()


def submit(api: httpx.Client, how: str = "done", pipeline: str = "single", **options: Any) -> str:
    answer = api.post(
        f"/pipelines/{pipeline}/runs", json={"how": how, "mark": "/no/such/file"}, params=options
    )
    assert answer.status_code == 202, answer.text
    run_id: str = answer.json()["run_id"]
    return run_id


def until_state(api: httpx.Client, run_id: str, state: str) -> None:
    until(lambda: api.get(f"/runs/{run_id}").json()["state"] == state, f"the run is {state}")


def listed(api: httpx.Client, **query: str) -> set[str]:
    response = api.get("/ui/runs", params=query)
    assert response.status_code == 200, response.text
    return set(re.findall(r'<tr id="r-(\w+)"', response.text))


@pytest.fixture
def runs(api: httpx.Client, worker: Process) -> dict[str, str]:
    """A run of each kind, by its name."""
    until(lambda: api.get("/pipelines/fanned").status_code == 200, "the API knows the worker's pipelines")
    runs = {
        "completed": submit(api, tags=["nightly", "eu"]),
        "failed": submit(api, "wrong", tags="nightly"),
        "retrying": submit(api, "fail"),
        "queued": submit(api, delay=3600),
        "cancelled": submit(api, delay=3600),
        "running": submit(api, "hold"),
        "fan": submit(api, "wrong", pipeline="fanned"),
    }
    answer = api.post(f"/ui/runs/{runs['cancelled']}/cancel", data={"reason": "a test"}, headers=OWN_FORM)
    assert answer.headers["location"] == f"/ui/runs/{runs['cancelled']}"
    for name, run_id in runs.items():
        until_state(api, run_id, name if name != "fan" else "failed")
    return runs


def test_each_filter_selects_the_runs_that_it_names(api: httpx.Client, runs: dict[str, str]) -> None:
    for state in ("completed", "retrying", "queued", "cancelled", "running"):
        assert listed(api, state=state) == {runs[state]}
    assert listed(api) == set(runs.values())
    assert listed(api, state="failed") == {runs["failed"], runs["fan"]}
    assert listed(api, pipeline="fanned") == {runs["fan"]}
    assert listed(api, stage="do", state="failed") == {runs["failed"]}
    assert listed(api, error="Wrong") == listed(api, repaired="false") == {runs["failed"], runs["fan"]}
    assert listed(api, tag="nightly") == {runs["completed"], runs["failed"]}
    assert listed(api, id=runs["queued"]) == {runs["queued"]}
    (worker,) = (it["name"] for it in api.get("/workers").json())
    assert runs["running"] in listed(api, worker=worker, state="running")
    accepted_ms = api.get(f"/runs/{runs['fan']}").json()["accepted_ms"]
    assert runs["fan"] in listed(api, from_ms=str(accepted_ms))
    assert runs["fan"] not in listed(api, to_ms=str(accepted_ms))

    api.post(f"/runs/{runs['failed']}/rerun", json={"from": "start", "input": {"how": "done"}})
    until(lambda: listed(api, repaired="true") == {runs["failed"]}, "its re-run completed")
    assert listed(api, repaired="false") == {runs["fan"]}


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ({"state": "nonsense"}, "state"),
        ({"id": "no spaces"}, "id"),
        ({"tag": "x" * 65}, "tag"),
        ({"pipeline": "A B"}, "pipeline"),
        ({"from": "yesterday"}, "from"),
        ({"repaired": "maybe"}, "repaired"),
        ({"error": "x" * 201}, "error"),
        ({"from_ms": "5", "to_ms": "5"}, "swap them"),
        ({"after": "nonsense"}, "after"),
    ],
)
def test_a_filter_that_cannot_match_is_a_clear_page(
    api: httpx.Client, query: dict[str, str], where: str
) -> None:
    response = api.get("/ui/runs", params=query)

    assert response.status_code == 422
    assert where in response.text and 'class="alarm"' in response.text


def test_every_link_answers_and_every_form_s_action_exists(api: httpx.Client, runs: dict[str, str]) -> None:
    pages = ["/ui/runs", *(f"/ui/runs/{run_id}?tab={tab}" for run_id in runs.values() for tab in TABS)]
    pages += [
        f"/ui/runs/{runs['running']}/cancel",
        "/ui/runs/cancel?all=1",
        f"/ui/runs/rerun?run={runs['failed']}",
    ]
    links: set[str] = set()
    for page in pages:
        response = api.get(page)
        assert response.status_code == 200, page
        check_harmless(response.text)
        assert len(response.content) < 100_000, page
        links |= {unescape(it) for it in re.findall(r'href="(/[^"]*)"', response.text)}
        check_forms(response.text)
    for link in sorted(links - set(pages)):
        assert api.get(link).status_code == 200, link


def check_forms(page: str) -> None:
    """Fails where an action is no page's."""
    for form, action in re.findall(r'(<form[^>]*action="([^"]*)"[^>]*>)', page):
        path = unescape(action).partition("?")[0]
        method = "POST" if 'method="post"' in form else "GET"
        assert path.startswith(LAYOUT) or is_served(path.removeprefix("/ui"), method), (method, action)
    for action in re.findall(r'formaction="([^"]*)"', page):
        assert is_served(action.removeprefix("/ui"), "GET"), action


def is_served(path: str, method: str) -> bool:
    scope = {"type": "http", "path": path, "method": method, "root_path": ""}
    found = (it for it in ROUTES if (it.act if method == "POST" else it.show))
    return any(
        Route(it.path, lambda _: None, methods=[method]).matches(scope)[0] is Match.FULL for it in found
    )


def test_all_that_match_are_cancelled_by_an_operation(api: httpx.Client, runs: dict[str, str]) -> None:
    second = submit(api, delay=3600)
    asked = api.get("/ui/runs/cancel", params={"all": "1", "state": "queued"}).text
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', asked))

    answers = [
        api.post("/ui/runs/cancel", data={**form, "reason": "too late", "rate": "50"}, headers=OWN_FORM)
        for _ in range(2)
    ]

    assert "<strong>2 runs</strong>" in asked
    at = answers[0].headers["location"]
    assert answers[1].headers["location"] == at, "a form that is sent twice begins one operation"
    operation = ended(api, httpx.Response(202, headers={"Location": at.removeprefix("/ui")}))
    assert (operation["done"], operation["reason"]) == (2, "too late")
    assert api.get(at).status_code == 200
    assert listed(api, state="cancelled") == {runs["cancelled"], runs["queued"], second}


def test_a_selection_is_repeated_once_however_often_it_is_sent(
    api: httpx.Client, runs: dict[str, str]
) -> None:
    form = {
        "run": [runs["completed"], runs["cancelled"]],
        "key": "k1",
        "begin": "start",
        "state": "completed",
    }

    for _ in range(2):
        answer = api.post("/ui/runs/rerun", data=form, headers=OWN_FORM)
        assert answer.headers["location"] == "/ui/runs?state=completed"

    again = sorted(listed(api) - set(runs.values()))
    assert {api.get(f"/runs/{it}").json()["rerun_of"] for it in again} == set(form["run"])
    assert len(again) == 2
    for run_id in again:
        assert "repeats" in api.get(f"/ui/runs/{run_id}?tab=lineage").text


def test_a_reason_with_letters_that_no_header_takes_is_refused_at_its_field(
    api: httpx.Client, runs: dict[str, str]
) -> None:
    response = api.post(f"/ui/runs/{runs['running']}/cancel", data={"reason": "zu sp\xe4t"}, headers=OWN_FORM)

    assert response.status_code == 422
    assert 'value="zu sp\xe4t" aria-invalid="true"' in response.text
    assert api.get(f"/runs/{runs['running']}").json()["state"] == "running"


def test_a_run_that_is_forgotten_or_none_is_a_clear_page(api: httpx.Client) -> None:
    for path in ("/ui/runs/none", "/ui/runs/none/cancel"):
        response = api.get(path)
        assert response.status_code == 404
        assert "MOUSETRAP_RETENTION_SECONDS" in response.text


def test_who_may_only_read_sees_no_button_and_is_refused(serve: Serve, store_url: str) -> None:
    own = serve(signing_keys=SIGNING_KEYS)
    answer = own.post("/pipelines/earthquakes/runs", json={}, params={"delay": 3600})
    run_id = answer.json()["run_id"]
    api = serve(signing_keys=SIGNING_KEYS, api_keys=READ_ENTRY)
    api.post("/ui/sign-in", data={"key": READ, "back": "/ui/"}, headers=OWN_FORM)

    for path in ("/ui/runs", f"/ui/runs/{run_id}"):
        page = api.get(path)
        assert page.status_code == 200
        main = page.text.partition("<main")[2].partition("</main>")[0]
        assert not re.findall(
            r"<button[^>]*>\s*(Cancel|Re-run)|<a class=\"button [^>]*>(?:Cancel|Re-run)", main
        ), path
    for path in (f"/ui/runs/{run_id}/cancel", "/ui/runs/cancel", "/ui/runs/rerun"):
        form = {"all": "1", "run": run_id, "key": "k"}
        assert api.get(path, params=form).status_code == 403, path
        assert api.post(path, data=form, headers=OWN_FORM).status_code == 403, path
    assert own.get(f"/runs/{run_id}").json()["state"] == "queued"


def test_a_form_that_is_larger_than_the_api_takes_is_refused_by_a_page(api: httpx.Client) -> None:
    response = api.post("/ui/runs/cancel", data={"reason": "x" * 1_100_000}, headers=OWN_FORM)

    assert response.status_code == 413
    assert "<h1" in response.text and "send at most 1048576 bytes" in response.text


def test_a_key_that_no_header_can_carry_is_refused_and_starts_no_run_of_another_key(
    api: httpx.Client, worker: Process
) -> None:
    answers = [
        api.post(
            "/ui/pipelines/single/start",
            data={"raw": '{"how": "done", "mark": "/no/such/file"}', "key": key},
            headers=OWN_FORM,
        )
        for key in ("\u043a\u043b\u044e\u0447", "\u0442\u0435\u0441\u0442")
    ]

    assert [each.status_code for each in answers] == [422, 422]
    assert all('id="o-key-e"' in each.text for each in answers)
