"""Checks the pages of queues: the list, and one of them."""

import time
from typing import Any

import pytest

from mousetrap import shapes
from mousetrap.dashboard.queue_story import story
from support.dashboard import Answers, Pages
from support.dashboard_ops import cluster, load, queue, worker
from support.hostile import HOSTILE, check_harmless


def minute(ago: int, **counts: int) -> dict[str, Any]:
    return {"at_ms": (time.time_ns() // 60_000_000_000 - ago) * 60_000, **counts}


@pytest.fixture
def answered(answers: Answers) -> Answers:
    minutes = [minute(ago, begun=5, done=4, failed=1, wait_ms=900, run_ms=8_000) for ago in range(600, 0, -3)]
    day = {
        "name": "prices",
        "stages": [{"stage": "orders.price", "minutes": minutes}],
        "ready": [{"at_ms": it["at_ms"], "ready": 3} for it in minutes],
    }
    many = [queue(name=f"q{index:03}", ready=index) for index in range(200)]
    answers.given |= {
        "GET /queues": (200, many),
        "GET /cluster": (200, cluster(*(load(stage=f"p.s{it['name']}", queue=it["name"]) for it in many))),
        "GET /workers": (200, [worker(), worker(name="other", queues=["ships"])]),
        "GET /queues/prices": (200, queue()),
        "GET /queues/prices/minutes": (200, day),
    }
    return answers


def test_queues_are_paged_filtered_and_ordered(pages: Pages, answered: Answers) -> None:
    first, later = pages.get("/queues").text, pages.get("/queues", start="40").text
    busy, named = pages.get("/queues", order="waiting").text, pages.get("/queues", name="Q19").text

    assert "q039" in first and "q040" not in first and "1 to 40 of 200 queues" in first
    assert 'href="?start=40"' in first and "q040" in later and "q039" not in later
    assert busy.index("q199") < busy.index("q198") and "q100" not in busy
    assert named.count('id="q-q19') == 10


@pytest.mark.parametrize("start", ["-1", "x", "٣", "99999999999", "400"])
def test_a_start_that_makes_no_sense_is_no_error(pages: Pages, answered: Answers, start: str) -> None:
    assert pages.get("/queues", start=start).status_code == 200


PAUSE = {"who": "anna", "since_ms": 1_765_000_000_000, "why": "the feed lies"}


def test_a_paused_queue_is_marked_and_shows_who_why_and_how_to_resume(
    pages: Pages, answered: Answers
) -> None:
    answered.given["GET /queues"] = (200, [queue(paused=PAUSE)])
    answered.given["GET /queues/prices"] = (200, queue(paused=PAUSE))
    answered.given["POST /queues/prices/resume"] = (200, {})

    one = pages.get("/queues/prices").text
    answer = pages.post("/queues/prices/resume")

    assert "paused</span>" in pages.get("/queues").text
    assert "by anna" in one and "the feed lies" in one and "nothing leaves it" in one
    assert 'action="/ui/queues/prices/resume"' in one and "Pause…" not in one
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/queues/prices")


def test_a_queue_is_paused_with_the_reason_that_was_given(pages: Pages, answered: Answers) -> None:
    answered.given["POST /queues/prices/pause"] = (200, {})

    assert 'href="/ui/queues/prices/pause"' in pages.get("/queues/prices").text
    assert "Pause <code>prices</code>" in pages.get("/queues/prices/pause").text
    answer = pages.post("/queues/prices/pause", {"reason": "the feed lies"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/queues/prices")
    assert answered.asked[-1][0] == "POST /queues/prices/pause"
    assert answered.headers[-1]["mousetrap-reason"] == "the feed lies"


def test_a_reason_that_is_refused_is_an_error_at_its_field(pages: Pages, answered: Answers) -> None:
    problem = {"status": 422, "title": "Not valid", "detail": "no é", "where": "header.Mousetrap-Reason"}
    answered.given["POST /queues/prices/pause"] = (422, problem)

    answer = pages.post("/queues/prices/pause", {"reason": "é"})

    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text and "no é" in answer.text and 'value="é"' in answer.text


def test_a_queue_without_workers_is_marked(pages: Pages, answered: Answers) -> None:
    answered.given["GET /queues"] = (200, [queue(workers=0, missing=True)])

    text = pages.get("/queues").text

    assert "none</span>" in text and "not at the broker yet" in text


def test_no_queue_is_explained(pages: Pages, answered: Answers) -> None:
    answered.given["GET /queues"] = (200, [])

    assert "mousetrap worker TARGET" in pages.get("/queues").text
    assert "No queue has x in its name" in pages.get("/queues", name="x").text


def test_one_shows_its_charts_its_workers_and_why(pages: Pages, answered: Answers) -> None:
    text = pages.get("/queues/prices").text

    assert text.count('class="chart"') == 3
    assert "w1" in text and "other" not in text
    assert "Why it is as it is" in text
    assert 'href="/ui/dead?queue=prices"' in text


@pytest.mark.parametrize(("asked", "hours"), [("", "24"), ("6", "6"), ("1", "1"), ("7", "24"), ("x", "24")])
def test_a_chart_shows_a_day_or_less(pages: Pages, answered: Answers, asked: str, hours: str) -> None:
    assert pages.get("/queues/prices", hours=asked).status_code == 200
    assert [query for line, query, _ in answered.asked if line.endswith("/minutes")] == [f"hours={hours}"]


@pytest.mark.parametrize(("oldest", "hours"), [(2, 1), (59, 1), (60, 6), (300, 6), (1_300, 24), (None, 1)])
def test_without_a_choice_the_charts_show_the_least_span_that_has_all(
    pages: Pages, answered: Answers, oldest: int | None, hours: int
) -> None:
    minutes = [minute(oldest, done=1)] if oldest is not None else []
    day = {"name": "prices", "stages": [{"stage": "orders.price", "minutes": minutes}], "ready": []}
    answered.given["GET /queues/prices/minutes"] = (200, day)

    text = pages.get("/queues/prices").text

    assert f'hours={hours}" aria-current="page"' in text


def test_a_queue_whose_workers_run_other_stages_alone_names_them(pages: Pages, answered: Answers) -> None:
    busy = worker(queues=["prices", "pages"], running=4, running_by_stage={"papers.read": 3, "papers.sum": 1})
    answered.given |= {"GET /workers": (200, [busy]), "GET /queues/prices": (200, queue(running=0))}

    text = pages.get("/queues/prices").text

    assert (
        "All slots of its workers are taken by jobs of other stages: 3 of papers.read, 1 of papers.sum."
        in text
    )


def test_one_without_a_worker_gives_the_command(pages: Pages, answered: Answers) -> None:
    answered.given |= {"GET /queues/prices": (200, queue(workers=0)), "GET /workers": (200, [])}

    assert pages.get("/queues/prices").text.count("mousetrap worker TARGET") >= 2


def test_a_queue_that_is_none_is_the_api_s_sentence(pages: Pages, answered: Answers) -> None:
    problem = {"status": 404, "title": "There is no such queue", "detail": "this server knows: prices"}
    answered.given["GET /queues/nothing"] = (404, problem)

    response = pages.get("/queues/nothing")

    assert (response.status_code, "this server knows: prices" in response.text) == (404, True)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"missing": True}, "The broker does not have this queue"),
        ({"workers": 0, "ready": 5}, "No worker serves it, so nothing leaves it. 5 jobs are waiting."),
        ({"in_per_minute": 400.0, "slots": 4}, "It grows by 90 a minute: 400 come and 310 begin."),
        (
            {"in_per_minute": 400.0, "slots": 4},
            "these begin at most 120 a minute. To keep up with what comes takes about 14 slots.",
        ),
        ({"in_per_minute": 400.0, "slots": 9}, "Only 4 of 9 slots run"),
        ({"in_per_minute": 250.0, "ready": 120}, "It shrinks by 60 a minute: it is empty in about 2 min."),
        ({"in_per_minute": 310.0, "slots": 4}, "all slots are busy"),
        ({"in_per_minute": None, "slots": 9}, "Workers have free slots"),
        ({"ready": 0}, "Nothing waits for a worker."),
        ({"ready": 0, "delayed": 1}, "1 job is not due yet"),
    ],
)
def test_why_a_queue_is_as_it_is(facts: dict[str, Any], sentence: str) -> None:
    ended = shapes.Minute(at_ms=0, begun=10, done=10, run_ms=20_000)

    assert sentence in " ".join(story(shapes.Queue(**queue(**facts)), [ended]))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_harmless(pages: Pages, answered: Answers, text: str) -> None:
    hostile = queue(name=text, stages=[text, f"{text}.{text}"])
    answered.given |= {
        "GET /queues": (200, [hostile]),
        "GET /queues/prices": (200, hostile),
        "GET /workers": (200, [worker(name=text, queues=[text], version=text)]),
    }

    check_harmless(pages.get("/queues").text)
    check_harmless(pages.get("/queues/prices").text)


def test_full_pages_are_below_100_kb(pages: Pages, answered: Answers) -> None:
    minutes = [minute(ago, done=ago * 7 % 50) for ago in range(60)]
    name = "a-queue-with-a-rather-long-name-of-sixty-characters-and-so-on-{}".format
    names = [name(index) for index in range(200)]
    stages = [f"a-pipeline-{index}.a-stage" for index in range(9)]
    day = {
        "name": "prices",
        "stages": [
            {"stage": it, "minutes": [minute(ago, begun=9, done=ago % 9, failed=1) for ago in range(1440)]}
            for it in stages
        ],
        "ready": [{"at_ms": minute(ago)["at_ms"], "ready": ago % 37} for ago in range(1440)],
    }
    answered.given |= {
        "GET /queues": (200, [queue(name=it, stages=stages) for it in names]),
        "GET /cluster": (200, cluster(*(load(queue=it, minutes=minutes) for it in names))),
        "GET /workers": (
            200,
            [worker(name=f"a-worker-{index}", queues=["prices", *names[:9]]) for index in range(500)],
        ),
        "GET /queues/prices/minutes": (200, day),
    }

    assert len(pages.get("/queues").content) < 100_000
    assert len(pages.get("/queues/prices").content) < 100_000
