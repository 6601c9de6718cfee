"""Reads a Celery app without running it, and writes declarations."""

import ast
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mousetrap.celery_messages import read_declared
from mousetrap.celery_source import read_app, write_declared, write_moved
from mousetrap.handlers import Task
from mousetrap.pipeline import Rate
from mousetrap.retry import RetryPolicy
from mousetrap.schedules import Schedule

TASKS = """
import os
import requests
from celery import Celery, shared_task
from celery.schedules import crontab
os.mkdir("it_was_run")

app = Celery("shop")
app.conf.update(task_routes={"shop.tasks.mail": {"queue": "mail"}, "shop.other.*": make()}, timezone="Europe/Berlin")
app.conf.beat_schedule = {
    "Every Night!": {"task": "shop.tasks.resize", "schedule": crontab(hour=2, minute=30), "args": ("a.png",)},
    "quarter": {"task": "total", "schedule": timedelta(minutes=15), "kwargs": {"numbers": [1, 2]}},
    "away": {"task": "shop.elsewhere.f", "schedule": 10.0},
    "computed": {"task": "total", "schedule": every()},
    "unknown input": {"task": "total", "schedule": 5, "args": (now(),)},
}


@app.task
def resize(path: str, width: int = 100) -> str:
    return convert(path, width)


@app.task(bind=True, max_retries=5, default_retry_delay=60, time_limit=300, soft_time_limit=250, rate_limit="10/m")
def fetch(self, url: str):
    try:
        return requests.get(url).json()
    except OSError as error:
        raise self.retry(exc=error)


@shared_task(name="total", autoretry_for=(ValueError, OSError), retry_backoff=2, retry_backoff_max=30, acks_late=True)
def total(numbers: list[int]) -> int:
    return sum(numbers)


@shared_task(autoretry_for=(requests.Timeout,), max_retries=None, expires=limit())
def call(page: Page, *more, when=now()) -> Page:
    return page


def plain(n):
    return n
"""


def moved_of(text: str) -> ModuleType:
    """The file that is written, loaded."""
    module = ModuleType("moved_of_test")
    sys.modules[module.__name__] = module
    exec(compile(text, "moved.py", "exec"), module.__dict__)  # noqa: S102  what we have written
    return module


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    found = read_app({"shop/tasks.py": TASKS})
    assert not list(tmp_path.iterdir())  # it was not run
    return found


def test_tasks_are_written_with_their_parameters_policies_and_limits(app: Any) -> None:
    moved = moved_of(write_moved(app))

    tasks: dict[str, Task[..., Any]] = {
        name: each for name, each in vars(moved).items() if isinstance(each, Task)
    }
    stages = {name: each.stage for name, each in tasks.items()}
    assert list(tasks) == ["resize", "fetch", "total", "call"]
    assert [each.name for each in tasks["resize"].parameters.inputs] == ["path", "width"]
    assert stages["resize"].retry.attempts == 1
    assert stages["fetch"].retry == RetryPolicy(attempts=6, base=60, cap=600)
    assert (stages["fetch"].timeout, stages["fetch"].soft_timeout) == (300, 250)
    assert stages["fetch"].limit == Rate(10, every="minute")
    assert stages["total"].retry == RetryPolicy(attempts=4, base=2, cap=30, retry_on=(ValueError, OSError))
    assert stages["call"].retry.attempts is None
    with pytest.raises(NotImplementedError, match=r"move the body of shop/tasks.py:\d+ here"):
        tasks["resize"].function("a.png")


def test_what_has_no_counterpart_is_a_comment_at_its_task(app: Any) -> None:
    text = write_moved(app)

    for note in (
        "# rate_limit='10/m' is of each worker there, and of all workers together here",
        "# self.retry(…) is `raise TryAgain(after=…)`, or any error",
        "# retried for (requests.Timeout,): import these, and add retry_on=(requests.Timeout,)",
        "# page is Page: import it, or write a type with a JSON form",
        "# when defaults to now(): let the body find it where it is None",
        "# *args and **kwargs have no contract: name what is given",
        "# expires=limit() is no plain number: write it by hand",
        "# away: the task shop.elsewhere.f is not in these files",
        "# computed: when it is due is no literal",
        "# unknown input: its arguments are no literals; give them as input=",
        "# not read: shop/tasks.py:9: the route of shop.other.*",
    ):
        assert note in text


def test_a_beat_schedule_becomes_schedules(app: Any) -> None:
    first, second, third = moved_of(write_moved(app)).SCHEDULES

    assert first == Schedule(
        "every-night",
        pipeline="resize",
        cron="30 2 * * *",
        tz="Europe/Berlin",
        missed="skip",
        input={"path": "a.png"},
    )
    assert second == Schedule(
        "quarter", pipeline="total", every=timedelta(minutes=15), missed="skip", input=[1, 2]
    )
    assert (third.every, third.input) == (timedelta(seconds=5), None)


def test_the_file_of_declarations_is_read_and_has_tasks_and_routes(app: Any) -> None:
    declared = read_declared(write_declared(app))

    assert declared.tasks == {
        "shop.tasks.resize": "resize",
        "shop.tasks.fetch": "fetch",
        "total": "total",
        "shop.tasks.call": "call",
    }
    assert declared.routes == {"shop.tasks.mail": "mail"}


def test_two_tasks_of_one_function_s_name_have_names_of_their_own() -> None:
    source = "@shared_task\ndef run(n: int) -> int:\n    return n\n"

    app = read_app({"a/tasks.py": source, "b/tasks.py": source})

    assert read_declared(write_declared(app)).tasks == {
        "a.tasks.run": "a_tasks_run",
        "b.tasks.run": "b_tasks_run",
    }
    assert hasattr(moved_of(write_moved(app)), "a_tasks_run")


def test_no_text_of_the_source_leaves_its_comment() -> None:
    source = '@shared_task(name="a\\nraise SystemExit", rate_limit="""1\\n2""")\ndef run(n: "\\n") -> int:\n    pass\n'

    moved_of(write_moved(read_app({"a.py": source})))


def test_settings_of_a_module_and_an_app_without_tasks_are_read() -> None:
    app = read_app({"celeryconfig.py": 'task_routes = {"t": "q"}\nbeat_schedule = computed()\n'})

    assert app.routes == {"t": "q"}
    assert "# not read: celeryconfig.py:2: beat_schedule, which is no plain dictionary" in write_moved(app)
    ast.parse(write_moved(app))


def moved_task(text: str) -> tuple[Any, str]:
    """The one task of a source, and the file that is written."""
    written = write_moved(read_app({"a.py": text}))
    return moved_of(written).f, written


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [("a, b=1, *, c", ["a", "b", "c"]), ("*, c=1, d", ["c", "d"]), ("a, *b, c", ["a", "c"])],
)
def test_parameters_that_are_given_by_name_alone_stay_so(parameters: str, expected: list[str]) -> None:
    moved, _ = moved_task(f"@app.task\ndef f({parameters}):\n    pass\n")

    assert [each.name for each in moved.parameters.inputs] == expected


@pytest.mark.parametrize(
    ("options", "retry", "note"),
    [
        (
            "retry_backoff='x'",
            RetryPolicy(attempts=4, base=180, cap=600),
            "retry_backoff='x' is no plain number",
        ),
        ("retry_backoff=True", RetryPolicy(attempts=4, base=1, cap=600), ""),
        ("retry_backoff=-1, max_retries=-1", RetryPolicy(attempts=1, base=1, cap=600), ""),
        ("default_retry_delay=0", RetryPolicy(attempts=4, base=1, cap=600), ""),
    ],
)
def test_odd_options_of_retries_are_a_policy_or_a_comment(
    options: str, retry: RetryPolicy, note: str
) -> None:
    moved, written = moved_task(f"@app.task(autoretry_for=(Exception,), {options})\ndef f():\n    pass\n")

    assert moved.stage.retry == replace(retry, retry_on=(Exception,))
    assert note in written


@pytest.mark.parametrize(
    ("options", "limit", "note"),
    [
        ("rate_limit=20", Rate(20), "of all workers together here"),
        ("rate_limit='0.5/s'", None, "rate_limit='0.5/s' is no whole number"),
        ("priority=5", None, "priority=5 is an option of each submission here"),
        ("time_limit=-1", None, ""),
    ],
)
def test_rates_are_limits_and_priorities_a_comment(options: str, limit: Rate | None, note: str) -> None:
    moved, written = moved_task(f"@app.task({options})\ndef f():\n    pass\n")

    assert moved.stage.limit == limit
    assert note in written


def test_a_schedule_that_a_cron_of_ours_would_begin_too_often_is_a_comment() -> None:
    entry = "'{0}': {{'task': 't', 'schedule': crontab(0, 0, day_of_month='{1}', day_of_week='mon')}}"
    entries = ", ".join(entry.format(*each) for each in (("either", "1-7"), ("both", "*/2")))

    written = write_moved(
        read_app({"a.py": f"@app.task(name='t')\ndef f():\n    pass\nbeat_schedule = {{{entries}}}\n"})
    )

    assert "# either: it is due on days of the month that are also such days of the week" in written
    assert [each.cron for each in moved_of(written).SCHEDULES] == ["0 0 */2 * mon"]


def test_settings_with_a_prefix_are_read_and_other_forms_are_named() -> None:
    app = read_app(
        {
            "a.py": "CELERY_TASK_ROUTES = {'t': 'q'}\n"
            "CELERY_BEAT_SCHEDULE = {'x': {'task': 't', 'schedule': 5}}\n"
            "app.conf.beat_schedule['y'] = {}\n"
            "app.conf.beat_schedule.update(z={})\n"
            "app.conf.update({'task_routes': {}})\n"
            "app.conf['task_routes'] = {}\n"
            "sender.add_periodic_task(5, f.s())\n"
            "class Base(celery.Task):\n    pass\n"
        }
    )

    assert (app.routes, [each.name for each in app.schedules]) == ({"t": "q"}, ["x"])
    assert sorted(app.unread) == [
        "a.py:3: an entry that is added to beat_schedule",
        "a.py:4: entries that are added to beat_schedule",
        "a.py:5: the dictionary that is given to conf.update",
        "a.py:6: a setting that is set by its name in brackets",
        "a.py:7: a schedule of add_periodic_task",
        "a.py:8: the class Base, of a task",
    ]


def test_a_route_that_is_a_pattern_is_a_comment() -> None:
    written = write_declared(
        read_app({"a.py": "task_routes = {'shop.*': 'q', 'x.mail': 'q'}\n@app.task\ndef f(): ...\n"})
    )

    assert read_declared(written).routes == {"x.mail": "q"}
    assert '# "shop.*" = "q" is a pattern: name each task' in written


def test_names_that_would_be_the_same_are_numbered_and_a_task_that_is_there_twice_is_named() -> None:
    source = "@shared_task(name={name!r})\ndef {function}(): ...\n"
    named = {"a.b_run": "run", "a_b.run": "run", "x": "a_b_run", "5.run": "run", "y": "_sendMail"}

    app = read_app(
        {
            f"{place}.py": source.format(name=name, function=function)
            for place, (name, function) in enumerate([*named.items(), ("x", "again")])
        }
    )

    names = read_declared(write_declared(app)).tasks
    assert len({*names.values()}) == len(names) == 5
    assert all(hasattr(moved_of(write_moved(app)), name) for name in names.values())
    assert app.unread == ["5.py:2: a second task of the name x"]
