"""Jobs of a run on a terminal of 80 columns."""

from dataclasses import replace

import pytest

from mousetrap.cli.tables.jobs import goes_without_lost, jobs_table
from mousetrap.shapes import Attempt, FailureLine, Fan, JobLine, JobPage, JobState, Reference, Run, RunState
from support.terminal import shown

AT = 1_767_323_045_000
FIND = JobLine(
    id="5f0c5b7e6a1d5c0e8f3a2b4c6d8e0f1a",
    stage="find",
    state=JobState.DONE,
    attempt=1,
    began_ms=AT,
    ended_ms=AT + 1500,
    children=Fan(job="5f0c", stage="find", state="closed", opened=10_000, total=10_000, done=7309, lost=3),
)
READ = JobLine(
    id="61aa5b7e6a1d5c0e8f3a2b4c6d8e0f1a",
    stage="read",
    state=JobState.FAILED,
    index=(7311,),
    key="paper",
    attempt=3,
    began_ms=AT,
    ended_ms=AT + 20,
    failure=FailureLine(kind="app.Broken", text="amqp://me:secret@host\nis no paper"),
    letter="/dead/papers_read/61aa5b7e6a1d5c0e8f3a2b4c6d8e0f1a",
)


def test_jobs_are_a_table_with_what_became_of_them_and_how_to_see_more() -> None:
    page = JobPage(jobs=(FIND, READ, replace(READ, index=(1, 2), key=None, letter=None)), next="read:7312")

    assert shown(jobs_table(page, "019b", " --state failed")) == (
        "job           stage  index       state   attempt    took  what\n"
        "────────────────────────────────────────────────────────────────────────────────\n"
        "5f0c5b7e6a1…  find               done          1  1.50 s  7,312 of 10,000 child…\n"
        "61aa5b7e6a1…  read   7311 paper  failed        3  0.02 s  Broken: amqp://me:sec…\n"
        "61aa5b7e6a1…  read   1.2         failed        3  0.02 s  Broken: amqp://me:sec…\n"
        "more: mousetrap jobs 019b --state failed --after read:7312\n"
        "\n"
        "see one      mousetrap dead show 61aa5b7e6a1d\n"
        "redrive all  mousetrap dead redrive --run 019b"
    )


def test_a_job_that_was_tried_more_than_once_has_a_line_for_each_attempt_before() -> None:
    why = FailureLine(kind="app.Broken", text="no")
    attempts = (
        Attempt(number=1, worker="w1", began_ms=AT, ended_ms=AT + 1500, outcome="retrying", failure=why),
        Attempt(number=2, worker="w2", began_ms=AT + 3000),
        Attempt(number=2, worker="w3", began_ms=AT + 9000, ended_ms=AT + 9020, outcome="done"),
    )
    done = replace(FIND, attempt=2, children=None, output=7, attempts=attempts)
    retrying = replace(done, state=JobState.RETRYING, ended_ms=None, worker="w1", attempts=attempts[:1])

    assert shown(jobs_table(JobPage(jobs=(done, replace(retrying, stage="read")), next=None), "019b")) == (
        "job           stage  state     attempt    took  what\n"
        "────────────────────────────────────────────────────────────────────────────────\n"
        "5f0c5b7e6a1…  find   done            2  1.50 s  7\n"
        "                     retrying        1  1.50 s  Broken: no\n"
        "                     lost            2          w2\n"
        "5f0c5b7e6a1…  read   retrying        2          w1\n"
        "                     retrying        1  1.50 s  Broken: no"
    )


def test_no_redrive_is_offered_that_changes_nothing() -> None:
    page = JobPage(jobs=(FIND, READ), next=None)

    lines = shown(jobs_table(page, "019b", is_over=True)).splitlines()

    assert lines[-2:] == [
        "see one  mousetrap dead show 61aa5b7e6a1d",
        "redrive  changes nothing: the run goes on, or has ended, without them",
    ]


@pytest.mark.parametrize(
    ("state", "fans", "is_over"),
    [
        ("completed", ("fired",), True),
        ("cancelled", ("closed",), True),
        ("running", ("fired",), True),
        ("running", ("fired", "open"), False),
        ("failed", ("closed",), False),
        ("failed", (), False),
    ],
)
def test_what_a_run_has_lost_is_of_no_use_once_it_goes_on_without(
    state: str, fans: tuple[str, ...], is_over: bool
) -> None:
    assert FIND.children
    run = Run(
        id="r1",
        pipeline="papers",
        state=RunState(state),
        stage="sum",
        accepted_ms=AT,
        updated_ms=AT,
        fans=tuple(replace(FIND.children, state=each) for each in fans),
    )
    assert goes_without_lost(run) is is_over


def test_a_job_that_its_run_went_on_without_is_not_shown_as_done() -> None:
    skipped = JobLine(
        id="5f0c", stage="rate", state=JobState.DONE, attempt=2, failure=FailureLine(kind="E", text="no")
    )
    page = JobPage(jobs=(skipped, replace(skipped, output={"stage": "rate"})), next=None)

    assert shown(jobs_table(page, "019b")).splitlines()[2:] == [
        "5f0c  rate   skipped          2        E: no",
        "5f0c  rate   fell back        2        E: no",
    ]


def test_a_chain_has_no_items() -> None:
    job = JobLine(id="5f0c", stage="add", state=JobState.DONE, attempt=1, output={"sum": 3})
    large = Reference(key="r1/o1", sha256="0" * 64, size=2_000_000)
    waiting = JobLine(id="61aa", stage="print", state=JobState.QUEUED)
    page = JobPage(jobs=(job, replace(job, output=None, output_reference=large), waiting), next=None)

    assert shown(jobs_table(page, "019b")) == (
        "job   stage  state   attempt  took  what\n"
        "────────────────────────────────────────────────────────────────────────────────\n"
        '5f0c  add    done          1        {"sum":3}\n'
        "5f0c  add    done          1        2,000,000 bytes, in the store of payloads\n"
        "61aa  print  queued"
    )


def test_without_jobs_a_sentence_has_whether_all_were_looked_at() -> None:
    assert shown(jobs_table(JobPage(jobs=(), next=None), "019b")) == "no job matches"
    assert shown(jobs_table(JobPage(jobs=(), next="read:9"), "019b", " --state running")) == (
        "no job matches of those that were looked at\nmore: mousetrap jobs 019b --state running --after read:9"
    )
