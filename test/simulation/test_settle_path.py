"""Thousands of stories in which everything goes wrong, on simulated servers and a simulated clock; no promise may break."""

import faulthandler
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from simulation.process import Lost
from simulation.settle_path import Broken, SettlePath
from simulation.shorten import shortened

#: Stories to tell. With a number of one's own they are new ones each time; else the same each time, so that CI is calm.
_ASKED = os.environ.get("MOUSETRAP_SIMULATION_EXAMPLES")


@pytest.mark.slow
def test_no_promise_breaks_whatever_goes_wrong() -> None:
    # Thousands of stories take minutes; one that hangs is ended by its own clock.
    faulthandler.cancel_dump_traceback_later()
    broken = _first_broken(int(_ASKED or 200))
    if broken is not None:
        pytest.fail(str(shortened(broken)), pytrace=False)


# Stories in which a promise was broken once, as the test above told them; each fails at the end when it is so again.


def test_a_claim_that_happens_after_its_asker_gave_up_loses_no_job() -> None:
    with _a_story() as story:
        story.a_question_to_the_store_goes_wrong(who="ann", lost=Lost.OVERTAKEN, then=0.0)
        story.somebody_submits_first(kinds=["slow"], then=0.02)


def test_a_claim_that_happens_after_another_worker_decided_loses_no_job() -> None:
    with _a_story() as story:
        story.a_question_to_the_store_goes_wrong(who="ann", lost=Lost.OVERTAKEN, then=0.0)
        story.somebody_submits(kinds=["locked"], then=0.0)
        story.a_worker_loses_its_connection(name="bob", then=0.02)


def test_a_job_sent_round_again_is_not_taken_for_the_attempt_that_still_buries_it() -> None:
    with _a_story() as story:
        story.a_publish_goes_wrong(who="ann", lost=Lost.ANSWER, then=0.0)
        story.a_worker_is_killed(name="bob", back_after=45.0, then=0.02)
        story.somebody_submits_first(kinds=["hopeless"], then=4.0)
        story.somebody_mends_and_redrives(then=4.0)


@pytest.mark.parametrize("calls", [2, 3, 4, 5, 6, 7, 8])
def test_a_redrive_that_nobody_repeats_leaves_a_run_that_goes_on_or_one_that_failed_with_its_letter(
    calls: int,
) -> None:
    with _a_story() as story:
        story.somebody_submits_first(kinds=["hopeless"], then=4.0)
        story.a_process_dies_at_one_of_its_next_calls(who="api", calls=calls, happened=True, then=0.0)
        story.somebody_mends_and_redrives(patient=False, then=4.0)


def test_a_job_that_kills_workers_kills_no_more_when_one_of_them_stood_still() -> None:
    with _a_story() as story:
        story.somebody_submits_first(kinds=["slow", "plain", "plain"], then=0.0)
        story.somebody_submits(kinds=["deadly"], then=0.0)
        story.a_worker_stands_still(name="bob", seconds=0.0, then=12.0)
        story.a_worker_stands_still(name="bob", seconds=25.0, then=0.0)


def test_two_copies_of_a_message_convict_no_job_that_a_living_worker_has() -> None:
    with _a_story() as story:
        story.somebody_submits_first(kinds=["plain", "slow", "slow"], then=0.0015)
        story.somebody_submits_again(run=3, then=0.02)
        story.a_worker_is_killed(name="bob", back_after=0.5, then=0.6)
        story.a_worker_is_told_to_stop(name="ann", hurry=True, then=0.0)
        story.a_worker_is_killed(name="bob", back_after=0.0, then=0.0)


def test_a_submission_that_fails_late_does_not_reject_what_its_repeat_was_accepted_for() -> None:
    with _a_story() as story:
        story.a_publish_goes_wrong(who="api", lost=Lost.ANSWER, then=0.0)
        story.a_worker_stands_still(name="ann", seconds=25.0, then=0.0)
        story.somebody_submits(kinds=["plain"], then=0.02)
        story.somebody_submits_again(run=1, then=0.0)


def test_a_suspect_whose_claim_was_answered_to_nobody_is_one_still() -> None:
    with _a_story() as story:
        story.somebody_submits_first(kinds=["plain"], then=0.0)
        story.a_worker_stands_still(name="bob", seconds=45.0, then=4.0)
        story.a_worker_stands_still(name="ann", seconds=0.0, then=35.0)
        story.a_worker_is_killed(name="ann", back_after=5.0, then=0.0)
        story.a_question_to_the_store_goes_wrong(who="bob", lost=Lost.ANSWER, then=0.0)
        story.somebody_submits(kinds=["deadly"], then=70.0)


@contextmanager
def _a_story() -> Iterator[SettlePath]:
    story = SettlePath()
    try:
        yield story
    finally:
        story.teardown()


def _first_broken(stories: int) -> Broken | None:
    try:
        run_state_machine_as_test(SettlePath, settings=_settings(stories))
    except Broken as broken:
        return broken
    return None


def _settings(stories: int) -> settings:
    return settings(
        max_examples=stories,
        stateful_step_count=30,
        derandomize=_ASKED is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),  # we shorten stories ourselves, in seconds instead of minutes
    )


def test_a_claim_asked_again_after_the_expiry_begins_nothing() -> None:
    with _a_story() as story:
        story.somebody_submits_first(kinds=["plain"], then=0.0)
        story.a_question_to_the_store_goes_wrong(who="bob", lost=Lost.ANSWER, then=0.0)
        story.somebody_submits(kinds=["expiring"], then=0.0015)
        story.a_worker_stands_still(name="ann", seconds=0.0, then=0.02)
        story.the_store_is_away(seconds=25.0, then=0.0)
