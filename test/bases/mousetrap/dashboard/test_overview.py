"""Checks the overview: what needs a person, the last hour."""

import time
from typing import Any

import pytest

from mousetrap.charts import sparkline
from support.dashboard import Answers, Pages
from support.dashboard_ops import KIND, RUN, cluster, groups, letter_line, load, queue, worker
from support.hostile import HOSTILE, check_harmless

AWAY = {
    "status": 503,
    "title": "The broker is away",
    "detail": "broker at h:1 cannot be used",
    "away": ["broker"],
}
LINE = {
    "id": RUN,
    "pipeline": "orders",
    "state": "failed",
    "stage": "price",
    "accepted_ms": 1,
    "updated_ms": 2,
}


def schedule(**more: Any) -> dict[str, Any]:
    members = {"pipeline": "orders", "words": "every hour", "missed": "once", "most": 100, "catch_up": 86_400}
    rest = {"overlap": "allow", "jitter": 0, "origin": "api", "created_ms": 1, "changed_ms": 1}
    return {**members, **rest, "changed_by": "anna", **more}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def minute(ago: int, **counts: int) -> dict[str, Any]:
    return {"at_ms": (now_ms() // 60_000 - ago) * 60_000, **counts}


@pytest.fixture
def answered(answers: Answers) -> Answers:
    answers.given |= {
        "GET /cluster": (200, cluster(load())),
        "GET /queues": (200, [queue()]),
        "GET /workers": (200, [worker()]),
        "GET /runs": (200, {"runs": [LINE], "next": None}),
        "GET /dead/groups": (200, groups()),
        "GET /pipelines": (200, [{"name": "orders", "description": "", "stages": []}]),
        "GET /schedules": (200, {"schedules": []}),
    }
    return answers


def test_where_all_is_well_the_page_shows_that(pages: Pages, answered: Answers) -> None:
    text = pages.get("/").text

    assert "Nothing needs you" in text
    assert f'href="/ui/runs/{RUN}"' in text
    assert not [line for line, _, _ in answered.asked if line == "GET /dead/groups"], (
        "no letter, no look at letters"
    )


def test_what_needs_someone_is_in_order(pages: Pages, answered: Answers) -> None:
    stages = (
        load(),
        load(stage="orders.ship", queue="ships", workers=0, minutes=[minute(1, retried=9, done=1)]),
    )
    answered.given |= {
        "GET /cluster": (200, cluster(*stages, dead=37)),
        "GET /queues": (
            200,
            [
                queue(name="idle", workers=0, ready=0),
                queue(oldest_seconds=360),
                queue(name="ships", workers=0, ready=1_204, oldest_seconds=400),
            ],
        ),
        "GET /workers": (200, [worker(), worker(name="w2", state="stale", silent=180, running=2)]),
        "GET /dead/groups": (200, groups(letter_line())),
    }

    text = pages.get("/").text

    wanted = (
        "No worker serves ships: 1,204 jobs wait, the oldest for 6.67 min.",
        "37 dead letters in prices, VendorAway, the newest: the vendor answers 503",
        "9 of 10 attempts of orders.ship failed in the last 10 minutes.",
        "Worker w2 is silent; it ran 2 jobs.",
        "The oldest of 12 jobs in prices waits for up to 6 min.",
        "Nothing waits in idle, and no worker serves it.",
    )
    places = [text.index(each) for each in wanted]
    assert places == sorted(places)
    assert f'href="/ui/dead?queue=prices&amp;reason=max-retries&amp;error={KIND}"' in text


def test_a_schedule_that_starts_nothing_is_named_with_the_reason(pages: Pages, answered: Answers) -> None:
    paused = schedule(name="nightly", paused={"who": "anna", "at_ms": 5, "why": "ticket 81"})
    late = schedule(name="often", overdue=True, waits="the store is away")
    answered.given["GET /schedules"] = (200, {"schedules": [paused, schedule(name="well"), late]})

    text = pages.get("/").text

    assert "Schedule nightly is paused by anna (ticket 81)." in text
    assert "A tick of schedule often is late: the store is away." in text
    assert "schedule well" not in text.lower() and "Nothing needs you" not in text
    assert 'href="/ui/schedules/nightly"' in text


def test_of_many_alike_some_are_shown_and_the_rest_is_counted(pages: Pages, answered: Answers) -> None:
    answered.given["GET /queues"] = (200, [queue(name=f"q{index}", workers=0) for index in range(200)])

    text = pages.get("/").text

    assert text.count("No worker serves q") == 5
    assert "195 more queues without a worker" in text


def test_a_pipeline_shows_its_last_hour(pages: Pages, answered: Answers) -> None:
    minutes = [
        minute(50, done=5, run_ms=5_000),
        minute(2, done=600, failed=10, run_ms=60_000),
        minute(1, done=100),
    ]
    answered.given["GET /cluster"] = (200, cluster(load(minutes=minutes)))

    text = pages.get("/").text

    assert "142/min" in text
    assert "at most 610 in a minute" in text
    assert 'href="/ui/dead?queue=prices&amp;stage=price&amp;since=1h">10<' in text


def test_of_two_hundred_stages_only_those_are_drawn_that_are_shown(
    pages: Pages, answered: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []

    def noted(counts: Any) -> Any:
        drawn.append(counts)
        return sparkline(counts)

    monkeypatch.setattr("mousetrap.dashboard.pages.overview.sparkline", noted)
    stages = [load(stage=f"p{number}.s", minutes=[minute(2, done=5)]) for number in range(200)]
    answered.given["GET /cluster"] = (200, cluster(*stages))

    text = pages.get("/").text

    assert len(drawn) == text.count('class="spark"') == 40


def test_stages_are_in_the_order_of_their_pipeline_and_the_quiet_ones_are_names(
    pages: Pages, answered: Answers
) -> None:
    stages = [load(stage=f"orders.{name}") for name in ("ask", "price", "ship")]
    quiet = load(stage="papers.read", waiting=0, running=0)
    named = [{"name": "orders", "stages": [{"name": name} for name in ("ship", "price", "ask")]}]
    answered.given |= {"GET /cluster": (200, cluster(*stages, quiet)), "GET /pipelines": (200, named)}

    text = pages.get("/").text

    assert text.index(">ship</a>") < text.index(">price</a>") < text.index(">ask</a>")
    assert 'Quiet: <a href="/ui/pipelines/papers">papers</a>' in text


def test_a_task_that_is_a_quiet_pipeline_beside_a_longer_one_is_not_listed(
    pages: Pages, answered: Answers
) -> None:
    names = ("orders.price", "price.price", "papers.read", "papers.sum", "read.read")
    found = [load(stage=name, queue=name.partition(".")[2], waiting=9, running=0) for name in names]
    stages = [{"name": name, "queue": name} for name in ("price", "read", "sum")]
    named = [
        {"name": "orders", "stages": [stages[0], stages[2]]},
        {"name": "price", "stages": stages[:1]},
        {"name": "papers", "stages": stages[1:]},
        {"name": "read", "stages": [{"name": "read", "queue": "another"}]},
    ]
    answered.given |= {"GET /cluster": (200, cluster(*found)), "GET /pipelines": (200, named)}

    text = pages.get("/").text

    assert 'href="/ui/pipelines/orders"' in text and 'href="/ui/pipelines/read"' in text
    assert 'href="/ui/pipelines/price"' not in text


def test_a_silent_worker_that_was_replaced_is_no_problem(pages: Pages, answered: Answers) -> None:
    silent = worker(name="w2", state="stale", silent=180, running=2, seen_ms=1_765_000_000_000)
    answered.given["GET /workers"] = (200, [worker(started_ms=1_765_000_001_000), silent])

    assert "Nothing needs you" in pages.get("/").text
    assert "replaced</span>" in pages.get("/workers").text


def test_a_queue_whose_workers_run_other_stages_alone_is_shown(pages: Pages, answered: Answers) -> None:
    busy = worker(queues=["prices", "pages"], running=4, running_by_stage={"papers.read": 3, "papers.sum": 1})
    answered.given |= {
        "GET /queues": (200, [queue(running=0, oldest_seconds=90)]),
        "GET /workers": (200, [busy]),
    }

    text = pages.get("/").text

    wanted = (
        "12 jobs wait in prices, the oldest for up to 1.5 min: "
        "3 jobs of papers.read and 1 job of others take all slots of its workers."
    )
    assert wanted in text
    assert "The oldest of 12 jobs" not in text, "it is there once"


def test_while_the_broker_is_away_the_rest_is_shown(pages: Pages, answered: Answers) -> None:
    answered.given |= {f"GET {path}": (503, AWAY) for path in ("/cluster", "/queues", "/dead/groups")}

    response = pages.get("/")

    assert response.status_code == 200
    assert "The broker is away" in response.text
    assert f'href="/ui/runs/{RUN}"' in response.text
    assert "Nothing needs you" not in response.text


def test_where_nothing_ran_yet_three_commands_lead_on(pages: Pages, answered: Answers) -> None:
    answered.given["GET /runs"] = (200, {"runs": [], "next": None})

    text = pages.get("/").text

    assert "mousetrap worker TARGET" in text and "mousetrap run orders" in text and "mousetrap doctor" in text
    assert 'href="/ui/pipelines/orders/start"' in text

    answered.given["GET /pipelines"] = (200, [])
    assert "mousetrap run PIPELINE" in pages.get("/").text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_harmless(pages: Pages, answered: Answers, text: str) -> None:
    names = ("queue", "reason", "error_kind", "error", "worker", "stage")
    failure = {"kind": text, "text": text}
    answered.given |= {
        "GET /cluster": (200, cluster(load(stage=text, queue=text, workers=0), dead=1)),
        "GET /queues": (200, [queue(name=text, workers=0), queue(name=text, oldest_seconds=99)]),
        "GET /workers": (200, [worker(name=text, state="stale")]),
        "GET /runs": (
            200,
            {"runs": [{**LINE, "pipeline": text, "stage": text, "failure": failure}], "next": None},
        ),
        "GET /dead/groups": (200, groups(letter_line(**dict.fromkeys(names, text)))),
    }

    check_harmless(pages.get("/").text)


def test_with_200_queues_and_500_workers_the_page_is_below_100_kb(pages: Pages, answered: Answers) -> None:
    minutes = [minute(ago, done=ago * 7 % 50, failed=1, run_ms=900) for ago in range(60)]
    names = [f"a-queue-with-a-rather-long-name-{index}" for index in range(200)]
    loads = [
        load(stage=f"pipeline-{index // 4}.stage-{index}", queue=it, minutes=minutes)
        for index, it in enumerate(names)
    ]
    letters = [letter_line(queue=it, error="é" * 500) for it in names]
    answered.given |= {
        "GET /cluster": (200, cluster(*loads, dead=9)),
        "GET /queues": (
            200,
            [queue(name=it, workers=index % 2, oldest_seconds=99) for index, it in enumerate(names)],
        ),
        "GET /workers": (200, [worker(name=f"w{index}", state="stale") for index in range(500)]),
        "GET /dead/groups": (200, groups(*letters)),
    }

    response = pages.get("/")

    assert len(response.content) < 100_000
    assert "40 more pipelines" in response.text
