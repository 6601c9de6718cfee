"""Outcomes of attempts, as a table."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from mousetrap.handlers import (
    crash_loop,
    done,
    input_broken,
    judged,
    locked_out,
    record_refused,
    too_many,
    unknown_stage,
    waited_out,
)
from mousetrap.handlers.outcomes import failure_of
from mousetrap.jobs import Done, GiveUp, Outcome, RetryLater, first_job
from mousetrap.pipeline import ContractBroken, Stage
from mousetrap.retry import Outage, RetryPolicy, TimeLimitExceeded, TryAgain

POLICY = RetryPolicy(
    attempts=3, base=2.0, dont_retry_on=(ZeroDivisionError,), outages=(ConnectionError, Outage)
)
STAGE = Stage(name="add", queue="add", input=int, output=int, retry=POLICY)
TEXT_STAGE = Stage(name="write", queue="write", input=int, output=str)


async def _later() -> int:
    return 1


def _numbers() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("make", "reason", "text"),
    [
        (lambda: "one", "contract", "the output of stage 'add'"),
        (lambda: float("nan"), "contract", "the output of stage 'add'"),
        (_later, "contract", "returned a coroutine: write it as `async def`"),
        (_numbers, "contract", "returned a generator: return a value"),
    ],
    ids=["wrong type", "not finite", "coroutine", "generator"],
)
def test_a_value_outside_the_contract_is_given_up_with_advice(
    make: Callable[[], Any], reason: str, text: str
) -> None:
    outcome = done(make(), STAGE)

    assert isinstance(outcome, GiveUp)
    assert outcome.reason == reason
    assert text in outcome.failure.text


def test_a_value_within_the_contract_is_done_up_to_the_largest_payload() -> None:
    fits, is_too_large = "x" * 998, "x" * 999

    assert done(3, STAGE) == Done(msgspec.Raw(b"3"))
    assert isinstance(done(fits, TEXT_STAGE, largest=1_000), Done)
    outcome = done(is_too_large, TEXT_STAGE, largest=1_000)
    assert isinstance(outcome, GiveUp)
    assert outcome.reason == "too-large"


@pytest.mark.parametrize(
    ("error", "attempt", "expected"),
    [
        (ValueError("no"), 1, ("retry", 1.0, True)),  # half of the first pause, as chance has it
        (ValueError("no"), 2, ("retry", 2.0, True)),
        (ValueError("no"), 3, ("max-retries",)),
        (ZeroDivisionError("no"), 1, ("not-retryable",)),
        (TryAgain(after=5.0), 1, ("retry", 5.0, True)),
        (ConnectionError("away"), 3, ("retry", 0.0, False)),
        (TimeLimitExceeded("slow"), 1, ("retry", 1.0, True)),
        (KeyboardInterrupt(), 1, ("retry", 1.0, True)),
        (SystemExit(3), 3, ("max-retries",)),
    ],
)
def test_an_error_is_judged_by_the_policy_of_its_stage(
    error: BaseException, attempt: int, expected: tuple[Any, ...]
) -> None:
    assert _facts(judged(error, attempt, STAGE, 0.5, 0.0)) == expected


@pytest.mark.parametrize(
    ("waited", "expected"),
    [
        (0.0, ("retry", 1.5, False)),
        (100.0, ("retry", 75.0, False)),
        (POLICY.outage_limit, ("outage",)),
    ],
)
def test_an_outage_is_waited_out_up_to_the_limit_of_the_policy(
    waited: float, expected: tuple[Any, ...]
) -> None:
    met = judged(ConnectionError("away"), 1, STAGE, 0.5, 0.0)
    assert isinstance(met, RetryLater)

    assert _facts(waited_out(met, waited, POLICY, 0.5)) == expected


JOB = first_job(run_id="r", pipeline="sums", stage="add", payload=b"1", accepted_ms=1)


@pytest.mark.parametrize(
    ("make", "reason", "text"),
    [
        (lambda: unknown_stage(JOB, "add"), "unknown-stage", "no handler for stage 'add' of pipeline 'sums'"),
        (lambda: too_many(4, 3), "max-retries", "this is attempt 4, and the policy of its stage allows 3"),
        (lambda: crash_loop(5), "crash-loop", "5 workers began this attempt"),
        (lambda: record_refused("no signature"), "store-signature", "no signature: nothing follows from it"),
        (lambda: locked_out("r2"), "lock-held", "run r2 holds the lock"),
        (
            lambda: input_broken(ContractBroken("a text"), STAGE),
            "contract",
            "the input of stage 'add': a text",
        ),
    ],
)
def test_a_job_that_is_not_run_is_given_up_with_its_reason(
    make: Callable[[], GiveUp], reason: str, text: str
) -> None:
    outcome = make()

    assert outcome.reason == reason
    assert text in outcome.failure.text


def test_a_failure_is_cut_after_its_secrets_are_masked() -> None:
    long = "x" * 970  # the limit cuts in the middle of the address

    failure = failure_of(ValueError(f"{long} amqp://user:sesamesesame@host/"), "here: ")

    assert failure.text.startswith("here: x")
    assert len(failure.text) <= 1_000
    assert "sesame" not in failure.text


def _facts(outcome: Outcome) -> tuple[Any, ...]:
    match outcome:
        case RetryLater(after, _, counted):
            return "retry", after, counted
        case GiveUp(reason):
            return (reason,)
        case _:
            return ("done",)
