"""Shows a run as lines while it happens."""

import threading
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import cast

import msgspec
import pytest

from mousetrap.api_client import Api, JobFilter, Reply, Unreachable
from mousetrap.cli.output import terminal
from mousetrap.cli.progress import StageSeen
from mousetrap.cli.screen import first_jobs, run_screen
from mousetrap.shapes import Event, JobLine, JobPage, JobState, Progress


def no_jobs(_: Sequence[str]) -> Mapping[str, JobLine | None]:
    return {}


def job(stage: str, state: JobState) -> JobLine:
    return JobLine(id="j", stage=stage, state=state, attempt=1, worker="w1", began_ms=2, ended_ms=3)


def test_branches_are_looked_at_while_they_run_and_once_more_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What their jobs do is no event of their run."""
    looks: list[Sequence[str]] = []
    looked = threading.Event()

    def look(stages: Sequence[str]) -> Mapping[str, JobLine | None]:
        looks.append(stages)
        looked.set()
        return {
            stage: job(stage, JobState.RUNNING if stage == "stock" else JobState.DONE) for stage in stages
        }

    monkeypatch.setenv("FORCE_COLOR", "1")
    out = StringIO()
    branches = (StageSeen(name=name, inside="find", in_fork=True) for name in ("price", "stock"))
    with run_screen(terminal(out, width=80), (StageSeen(name="find"), *branches), look) as show:
        show(Event(id="1-0", kind="finished", at_ms=1, stage="find", job="f", attempt=1))
        assert looked.wait(60)
        show(Event(id="2-0", kind="failed", at_ms=3))

    assert looks[0] == ["price", "stock"]
    assert looks[-1] in (["stock"], ["price", "stock"])  # as the end came after what was learned, or before
    last = out.getvalue().rpartition("find")[2]
    assert all(word in last for word in ("done", "goes on"))


def test_children_are_a_line_at_each_tenth_and_other_progress_is_none() -> None:
    out = StringIO()
    stages = (StageSeen(name="find"), StageSeen(name="read", inside="find"))
    with run_screen(terminal(out, width=80), stages, no_jobs) as show:
        show(Event(id="1-0", kind="closed", at_ms=1, stage="find", job="f", value={"total": 1000}))
        show(Progress(stage="find", done=3, total=4))
        for done in (0, 5, 99, 100, 150, 320, 1000):
            show(Progress(stage="find", done=done - done // 100, total=1000, lost=done // 100))
        show(Progress(stage="find", done=7, lost=0))
        show(Event(id="2-0", kind="fired", at_ms=3, job="f", value={"total": 9, "done": 9, "lost": 0}))

    assert out.getvalue().splitlines() == [
        "    0.00 s  find        closed: 1,000 children",
        "            read        100 of 1,000, 1 lost",
        "            read        320 of 1,000, 3 lost",
        "            read        1,000 of 1,000, 10 lost",
        "    0.00 s  find        fired: 9 of 9 done",
    ]


def test_of_a_stage_the_first_job_is_asked_for_and_what_is_not_known_is_left_out() -> None:
    pages = {
        "price": JobPage(jobs=(job("price", JobState.DONE),), next="price:1"),
        "stock": JobPage(jobs=(), next=None),
        "long": JobPage(jobs=(), next="long:2000"),  # a page reads so many records at most
    }
    asked: list[tuple[str, str | None, int]] = []

    class Asked:
        def jobs(self, run_id: str, wanted: JobFilter, *, limit: int) -> Reply[JobPage]:
            asked.append((run_id, wanted.stage, limit))
            if wanted.stage not in pages:
                raise Unreachable("the API is away")
            return Reply(msgspec.json.encode(pages[wanted.stage]), JobPage)

    found = first_jobs(cast(Api, Asked()), "r1")(["price", "stock", "long", "away"])

    assert found == {"price": job("price", JobState.DONE), "stock": None}
    assert asked == [("r1", name, 1) for name in ("price", "stock", "long", "away")]
