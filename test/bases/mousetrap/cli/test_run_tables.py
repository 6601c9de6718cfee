"""Tables of runs on a terminal of 80 columns."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mousetrap.cli.progress import StageSeen
from mousetrap.cli.result import result_of
from mousetrap.cli.tables.runs import (
    event_line,
    repair_hints,
    run_heading,
    runs_table,
    stages_table,
    timeline_table,
)
from mousetrap.shapes import Event, Failure, Fan, Run, RunPage, RunState
from support.terminal import shown

#: 2026-01-02 03:04:05 UTC.
AT = 1_767_323_045_000
NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
RUN = "019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b"


def test_stages_show_what_each_does_now() -> None:
    stages = (
        StageSeen(name="fetch", state="done", attempt=2, worker="w1", began_ms=AT, ended_ms=AT + 1500),
        StageSeen(name="process", state="running", attempt=1, began_ms=AT + 1600, note="40%"),
        StageSeen(name="publish"),
    )

    assert shown(stages_table(stages, AT / 1000 + 14.0)) == (
        "✔  fetch    done     1.50 s  attempt 2  w1\n"
        "⠋  process  running  12.4 s             40%\n"
        "○  publish  waiting"
    )


def test_why_a_stage_failed_is_shown_whole_and_all_else_is_cut_to_the_line() -> None:
    stages = (
        StageSeen(name="fetch", state="running", attempt=1, began_ms=AT, worker="w" * 80),
        StageSeen(name="process", state="retrying", attempt=3, note="none " * 7),
    )
    assert shown(stages_table(stages, AT / 1000), width=60) == (
        "⠋  fetch    running   0.00 s             wwwwwwwwwwwwwwwwww…\n"
        "↻  process  retrying          attempt 3  none none none none\n"
        "                                         none none none"
    )


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Event(id="1", kind="accepted", at_ms=AT, stage="fetch"), "    0.00 s  fetch       accepted"),
        (
            Event(id="1", kind="started", at_ms=AT + 250, stage="fetch", attempt=1, worker="w1"),
            "    0.25 s  fetch       started by w1",
        ),
        (
            Event(
                id="1",
                kind="retrying",
                at_ms=AT + 500,
                stage="fetch",
                attempt=2,
                failure=Failure(kind="E", text="no [b]"),
            ),
            "    0.50 s  fetch       retrying, attempt 2: E: no [b]",
        ),
        (
            Event(id="1", kind="yielded", at_ms=AT, stage="fetch", attempt=1, value={"page": [1, "a b"]}),
            '    0.00 s  fetch       yielded: {"page":[1,"a b"]}',
        ),
        (
            Event(id="1", kind="yielded", at_ms=AT, stage="fetch", value="amqp://me:secret@host"),
            '    0.00 s  fetch       yielded: "amqp://me:***@host"',
        ),
        (Event(id="1", kind="handed_back", at_ms=AT, stage="process"), "    0.00 s  process     handed back"),
        (Event(id="1", kind="started", at_ms=AT - 4, stage="fetch"), "    0.00 s  fetch       started"),
        (Event(id="1", kind="completed", at_ms=AT + 61_000), "   61.00 s              completed"),
        (
            Event(id="1", kind="closed", at_ms=AT, stage="find", value={"total": 10_000}),
            "    0.00 s  find        closed: 10,000 children",
        ),
        (
            Event(id="1", kind="late", at_ms=AT, stage="read"),
            "    0.00 s  read        late: its join had begun before",
        ),
        (
            Event(id="1", kind="fired", at_ms=AT, value={"total": 9, "done": 7, "lost": 2}),
            "    0.00 s              fired: 7 of 9 done, 2 lost",
        ),
    ],
)
def test_an_event_is_a_line_where_there_is_no_terminal(event: Event, line: str) -> None:
    assert shown(event_line(event, AT)) == line


def test_a_long_yielded_value_is_shown_by_its_beginning() -> None:
    event = Event(id="1", kind="yielded", at_ms=AT, stage="fetch", value="x" * 300)

    line = "".join(shown(event_line(event, AT)).split())

    assert line.endswith('yielded:"' + "x" * 199 + "…")


def test_runs_fit_into_80_columns() -> None:
    page = RunPage(
        runs=(
            Run(id=RUN, pipeline="earthquakes", state=RunState.RUNNING, stage="fetch", updated_ms=AT, accepted_ms=AT),
            Run(
                id="mine", pipeline="earthquakes", state=RunState.COMPLETED, stage="process",
                updated_ms=AT, accepted_ms=AT - 86_400_000, finished_ms=AT - 86_400_000 + 720,
            ),
        ),
        next="1767323045000:mine",
    )  # fmt: skip

    assert shown(runs_table(page, NOW)) == (
        "run                               pipeline     state      accepted       took\n"
        "─────────────────────────────────────────────────────────────────────────────\n"
        f"{RUN}  earthquakes  running    03:04:05\n"
        "mine                              earthquakes  completed  01-01 03:04  0.72 s\n"
        "more: mousetrap runs --after 1767323045000:mine"
    )


def test_when_a_run_begins_and_its_tags_fit_into_its_line() -> None:
    later = Run(
        id=RUN, pipeline="earthquakes", state=RunState.QUEUED, stage="fetch", updated_ms=AT, accepted_ms=AT,
        due_ms=int(NOW.timestamp() * 1000) + 240_000, tags=("nightly", "customer-17"),
    )  # fmt: skip

    assert shown(runs_table(RunPage(runs=(later,), next=None), NOW)).splitlines()[2:] == [
        f"{RUN[:15]}…  earthquakes  begins in 4 min  03:04:05        nightly,custome…"
    ]
    heading = shown(run_heading(later, NOW)).splitlines()
    assert "begins    in 4 min, at 12:04:00" in heading
    assert "tags      nightly, customer-17" in heading


def test_a_run_is_one_line_of_80_columns_however_long_its_id_and_its_pipeline() -> None:
    runs = [
        Run(
            id=run_id, pipeline=pipeline, state=RunState.COMPLETED, stage="process",
            updated_ms=AT, accepted_ms=AT - 86_400_000, finished_ms=AT - 86_200_000,
        )
        for run_id, pipeline in ((RUN, "earthquakes"), ("i" * 64, "p" * 63))
    ]  # fmt: skip

    assert shown(runs_table(RunPage(runs=(runs[0],), next=None), NOW)).splitlines()[2] == (
        f"{RUN[:30]}…  earthquakes  completed  01-01 03:04  3 min 20 s"
    )
    assert shown(runs_table(RunPage(runs=tuple(runs), next=None), NOW)).splitlines()[2:] == [
        "019b1f0c6a7e4d5f8a9b…  earthquakes            completed  01-01 03:04  3 min 20 s",
        "iiiiiiiiiiiiiiiiiiii…  pppppppppppppppppppp…  completed  01-01 03:04  3 min 20 s",
    ]


def test_runs_that_do_not_fit_are_shown_with_how_to_look_further() -> None:
    assert shown(runs_table(RunPage(runs=(), next=None), NOW, " --state failed")) == "no run matches"
    assert shown(runs_table(RunPage(runs=(), next="1:r"), NOW, " --state failed")) == (
        "no run matches of those that were looked at\nmore: mousetrap runs --state failed --after 1:r"
    )


def test_why_a_run_failed_is_a_line_below_the_others() -> None:
    failure = Failure(
        kind="pkg.FeedRefused", text="http://10.0.0.1/ points to a private network,\nor to no public address"
    )
    failed = Run(
        id=RUN, pipeline="earthquakes", state=RunState.FAILED, stage="fetch",
        updated_ms=AT, accepted_ms=AT, finished_ms=AT + 20, failure=failure,
    )  # fmt: skip
    retrying = replace(failed, state=RunState.RETRYING, finished_ms=None)

    assert shown(runs_table(RunPage(runs=(failed, retrying), next=None), NOW)) == (
        "run                               pipeline     state     accepted    took\n"
        "─────────────────────────────────────────────────────────────────────────\n"
        f"{RUN}  earthquakes  failed    03:04:05  0.02 s\n"
        f"{RUN}  earthquakes  retrying  03:04:05\n"
        "\n"
        "run                               why\n"
        "────────────────────────────────────────────────────────────────────────────────\n"
        f"{RUN}  FeedRefused: http://10.0.0.1/ points to a pri…"
    )


def test_no_runs_are_an_invitation() -> None:
    assert (
        shown(runs_table(RunPage(runs=(), next=None), NOW))
        == "no runs: start one with `mousetrap run PIPELINE`"
    )


def test_a_run_shows_what_it_is() -> None:
    run = Run(
        id=RUN,
        pipeline="earthquakes",
        state=RunState.COMPLETED,
        stage="process",
        updated_ms=AT,
        accepted_ms=AT,
        finished_ms=AT + 720,
        input={"url": "https://me:sesame@example.org/feed?key=sesame", "note": "n" * 80},
    )
    assert shown(run_heading(run, NOW)) == (
        f"run       {RUN}\npipeline  earthquakes\nstate     completed\n"
        'input     {"url":"https://***@example.org/feed?key=***","note":"nnnnnnnnnnnnnnn…\n'
        "accepted  03:04:05\ntook      0.72 s"
    )


def test_a_queued_run_shows_the_stage_that_it_waits_at_and_not_the_one_that_is_done() -> None:
    run = Run(id=RUN, pipeline="p", state=RunState.QUEUED, stage="split", updated_ms=AT, accepted_ms=AT)

    assert "state     queued: sum\n" in shown(run_heading(run, NOW, "sum"))
    assert "state     queued\n" in shown(run_heading(run, NOW))
    assert "state     running: split\n" in shown(
        run_heading(replace(run, state=RunState.RUNNING), NOW, "sum")
    )


def test_a_traced_run_shows_its_trace_or_the_way_to_it() -> None:
    run = Run(
        id=RUN, pipeline="p", state=RunState.QUEUED, stage="s", updated_ms=AT, accepted_ms=AT, trace_id="4bf9"
    )
    assert "trace     4bf9" in shown(run_heading(run, NOW))
    linked = replace(run, trace_url="http://jaeger/trace/4bf9")
    assert "trace     http://jaeger/trace/4bf9" in shown(run_heading(linked, NOW))


def test_a_run_that_was_stopped_is_named_so_where_others_have_a_result() -> None:
    run = Run(
        id=RUN, pipeline="p", state=RunState.CANCELLED, stage="s", updated_ms=AT, accepted_ms=AT, finished_ms=AT,
    )  # fmt: skip
    assert shown(result_of(run)) == "cancelled: it has no result"
    failed = replace(run, state=RunState.FAILED, failure=Failure(kind="E", text="no"))
    assert shown(result_of(failed)) == "E: no"


def test_a_run_shows_how_far_its_children_are() -> None:
    fans = (
        Fan(job="j1", stage="find", state="closed", opened=10_000, total=10_000, done=7309, lost=3),
        Fan(job="j2", stage="list", state="open", opened=500, done=20, lost=0),
    )
    run = Run(
        id=RUN,
        pipeline="papers",
        state=RunState.RUNNING,
        stage="list",
        updated_ms=AT,
        accepted_ms=AT,
        fans=fans,
    )
    heading = shown(run_heading(run, NOW)).splitlines()
    assert "find      7,312 of 10,000 children, 3 lost" in heading
    assert "list      20 of 500 children so far" in heading


def test_a_run_whose_join_has_not_what_it_needs_shows_that_and_where_its_lost_jobs_are() -> None:
    fan = Fan(job="j1", stage="find", state="closed", opened=14, total=14, done=12, lost=2, needs=13)
    enough = replace(fan, job="j2", stage="list", needs=12)
    run = Run(
        id=RUN,
        pipeline="papers",
        state=RunState.FAILED,
        stage="read",
        updated_ms=AT,
        accepted_ms=AT,
        fans=(fan, enough),
    )
    heading = shown(run_heading(run, NOW)).splitlines()

    assert "find      14 of 14 children, 2 lost: needs 13 done" in heading
    assert "list      14 of 14 children, 2 lost" in heading
    assert shown(repair_hints(run, with_story=True)) == (
        "find: 14 of 14 children, 2 lost: needs 13 done\n"
        "\n"
        f"its story         mousetrap show {RUN}\n"
        f"find's lost jobs  mousetrap jobs {RUN} --state failed\n"
        f"redrive it        mousetrap dead redrive --run {RUN}"
    )
    assert shown(repair_hints(run, with_story=False)).splitlines()[1:] == [
        f"find's lost jobs  mousetrap jobs {RUN} --state failed",
        f"redrive it        mousetrap dead redrive --run {RUN}",
    ]


def test_a_timeline_has_every_attempt_and_its_worker() -> None:
    events = (
        Event(id="1", kind="accepted", at_ms=AT, stage="fetch"),
        Event(id="2", kind="started", at_ms=AT - 10, stage="fetch", attempt=1, worker="w1"),
        Event(
            id="3",
            kind="retrying",
            at_ms=AT + 20,
            stage="fetch",
            attempt=1,
            worker="w1",
            failure=Failure(kind="pkg.E", text="[no]"),
        ),
        Event(id="4", kind="failed", at_ms=AT + 30, failure=Failure(kind="KeyboardInterrupt", text="")),
    )
    assert shown(timeline_table(events, AT)) == (
        " after  stage  what                       attempt  worker\n"
        "─────────────────────────────────────────────────────────\n"
        "0.00 s  fetch  accepted\n"
        "0.00 s  fetch  started                          1  w1\n"
        "0.02 s  fetch  retrying: E: [no]                1  w1\n"
        "0.03 s         failed: KeyboardInterrupt"
    )
