"""Checks the pages of workers: the list, one of them."""

import pytest

from support.dashboard import Answers, Pages
from support.dashboard_ops import RUN, pipeline, worker
from support.hostile import HOSTILE, check_harmless


@pytest.fixture
def answered(answers: Answers) -> Answers:
    workers = [
        worker(),
        worker(name="w2", state="stale", running=2),
        worker(name="w3", version="1.1", queues=["prices", "ships"]),
    ]
    answers.given |= {
        "GET /workers": (200, workers),
        "GET /pipelines": (200, [pipeline("orders", ("price", "prices"))]),
    }
    return answers


def test_silent_ones_are_first_with_what_they_ran(pages: Pages, answered: Answers) -> None:
    text = pages.get("/workers").text

    assert text.index('id="w-w2"') < text.index('id="w-w1"')
    assert f'ran <a class="id" href="/ui/runs/{RUN}"' in text and "and 1 more" in text


def test_versions_that_are_mixed_are_marked(pages: Pages, answered: Answers) -> None:
    text = pages.get("/workers").text

    assert "is served by 2 versions: 1.0 (1), 1.1 (1)" in text
    assert text.count("is served by") == 1, "a silent worker has no say"


def test_workers_are_selected_by_state_and_queue(pages: Pages, answered: Answers) -> None:
    stale, ships = pages.get("/workers", state="stale").text, pages.get("/workers", queue="ships").text

    assert 'id="w-w2"' in stale and 'id="w-w1"' not in stale
    assert 'id="w-w3"' in ships and 'id="w-w1"' not in ships
    assert "No worker is like this" in pages.get("/workers", queue="nothing").text


def test_each_queue_without_a_worker_has_the_command(pages: Pages, answered: Answers) -> None:
    orders = pipeline("orders", ("price", "prices"), ("ship", "ships"), ("bill", "bills"))
    silent = worker(name="w2", state="stale", stages=["orders.ship"])
    answered.given |= {"GET /pipelines": (200, [orders]), "GET /workers": (200, [worker(), silent])}

    text = pages.get("/workers").text

    assert "No worker serves" in text and "of orders.ship" in text and "of orders.bill" in text
    assert text.count("<code>mousetrap worker TARGET</code>") == 1, "one line for all of them"
    assert "mousetrap worker TARGET" in text


def test_no_worker_is_explained(pages: Pages, answered: Answers) -> None:
    answered.given["GET /workers"] = (200, [])

    assert "No worker is listed" in pages.get("/workers").text


def test_one_shows_what_it_runs_and_since_when(pages: Pages, answered: Answers) -> None:
    text = pages.get("/workers/w1").text

    assert f'href="/ui/runs/{RUN}"' in text and "41 s" in text
    assert 'href="/ui/queues/prices"' in text and 'href="/ui/runs?worker=w1"' in text
    assert 'data-ms="1764999959000"' in text
    assert "What it ran" in pages.get("/workers/w2").text and "It is silent" in pages.get("/workers/w2").text


def test_one_that_left_is_a_page_with_a_sentence(pages: Pages, answered: Answers) -> None:
    response = pages.get("/workers/gone")

    assert response.status_code == 404
    assert "gone has left, or was silent for more than an hour" in response.text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_harmless(pages: Pages, answered: Answers, text: str) -> None:
    doing = [{"run_id": text, "stage": text, "attempt": 1, "seconds": 0}]
    names = dict.fromkeys(("host", "version"), text)
    lists = {"stages": [text], "queues": [text], "doing": doing, "running_by_stage": {text: 1}}
    answered.given |= {
        "GET /workers": (
            200,
            [worker(name="w1", **names, **lists), worker(name=text, version="2", **lists, state="stale")],
        ),
        "GET /pipelines": (200, [pipeline(text, (text, text))]),
    }

    check_harmless(pages.get("/workers", queue=text).text)
    check_harmless(pages.get("/workers/w1").text)


def test_with_500_workers_and_200_queues_the_page_is_below_100_kb(pages: Pages, answered: Answers) -> None:
    queues = [f"a-queue-with-a-rather-long-name-{index}" for index in range(200)]
    many = [
        worker(name=f"a-worker-with-a-name-{index}", queues=queues, version=str(index))
        for index in range(500)
    ]
    stages = [(f"stage-{index}", it) for index, it in enumerate(queues)]
    answered.given |= {
        "GET /workers": (200, many),
        "GET /pipelines": (200, [pipeline("a-pipeline", *stages)]),
    }

    response = pages.get("/workers")

    assert len(response.content) < 100_000
    assert "1 to 50 of 500 workers" in response.text and "180 more queues" in response.text
    assert len(pages.get("/workers/a-worker-with-a-name-1").content) < 100_000


ASKED = {"act": "drain", "who": "anna", "since_ms": 1_765_000_000_000, "why": "the machine goes"}


@pytest.mark.parametrize("act", ["drain", "stop"])
def test_a_worker_is_asked_after_a_form(pages: Pages, answered: Answers, act: str) -> None:
    answered.given[f"POST /workers/w1/{act}"] = (200, {})

    assert f'href="/ui/workers/w1/{act}"' in pages.get("/workers/w1").text
    assert "It finishes 1 job" in pages.get(f"/workers/w1/{act}").text
    answer = pages.post(f"/workers/w1/{act}", {"reason": "the machine goes"})

    assert answer.status_code == 303
    assert answered.asked[-1][0] == f"POST /workers/w1/{act}"
    assert answered.headers[-1]["mousetrap-reason"] == "the machine goes"


def test_a_worker_that_drains_shows_who_asked_and_can_serve_again(pages: Pages, answered: Answers) -> None:
    answered.given["GET /workers"] = (200, [worker(state="draining", asked=ASKED)])
    answered.given["POST /workers/w1/resume"] = (200, {})

    text = pages.get("/workers/w1").text
    answer = pages.post("/workers/w1/resume")

    assert "It is asked to drain by anna" in text and "the machine goes" in text
    assert 'action="/ui/workers/w1/resume"' in text and "Drain…" not in text
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/workers/w1")


def test_a_silent_worker_is_asked_nothing(pages: Pages, answered: Answers) -> None:
    text = pages.get("/workers/w2").text

    assert "Drain…" not in text and "Stop…" not in text
