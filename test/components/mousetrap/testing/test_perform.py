"""Performs handlers and pipelines as plain calls."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from mousetrap.handlers import AttemptFailed, Binding, Context
from mousetrap.jobs import Done, GiveUp, RetryLater
from mousetrap.pipeline import ContractBroken, Pipeline, Stage
from mousetrap.retry import Outage, RetryPolicy, TimeLimitExceeded, TryAgain
from mousetrap.testing import (
    Flaky,
    outcome_of,
    outcome_of_async,
    perform,
    perform_async,
    run,
    run_async,
)


class Page(msgspec.Struct, frozen=True):
    words: list[str]


POLICY = RetryPolicy(attempts=3, base=2.0, dont_retry_on=(KeyError,))
FETCH = Stage(name="fetch", queue="pages", input=str, output=Page, retry=POLICY)
COUNT = Stage(name="count", queue="words", input=Page, output=dict[str, int])
PIPELINE = Pipeline(name="wordcount", description="Two stages.", stages=(FETCH, COUNT))


def bound_to_fetch(handler: Any, **more: Any) -> Binding:
    return Binding(pipeline=PIPELINE, stage=FETCH, handler=handler, **more)


async def fetch(url: str, context: Context[dict[str, str]]) -> Page:
    return Page(context.deps[url].split())


def count(page: Page) -> dict[str, int]:
    return {word: page.words.count(word) for word in page.words}


COUNTING = Binding(pipeline=PIPELINE, stage=COUNT, handler=count)


def test_an_async_handler_is_performed_with_its_deps() -> None:
    assert perform(bound_to_fetch(fetch), "u", deps={"u": "a b a"}) == Page(["a", "b", "a"])


def test_a_sync_handler_is_performed_in_a_thread_as_in_a_worker() -> None:
    threads: list[threading.Thread] = []

    def handler(url: str) -> Page:
        threads.append(threading.current_thread())
        return Page([asyncio.run(asyncio.sleep(0, url))])  # which no event loop around it hinders

    assert perform(bound_to_fetch(handler), "u") == Page(["u"])
    assert threads[0] is not threading.current_thread()


def test_without_deps_the_lifespan_is_entered_for_the_call() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[dict[str, str]]:
        seen.append("opened")
        yield {"u": "a"}
        seen.append("closed")

    assert perform(bound_to_fetch(fetch, lifespan=lifespan), "u") == Page(["a"])
    assert seen == ["opened", "closed"]


def test_the_handlers_own_error_is_raised() -> None:
    error = OSError("no network")

    with pytest.raises(OSError, match="no network") as raised:
        perform(bound_to_fetch(Flaky(fails=1, error=error)), "u")

    assert raised.value is error


def test_the_value_may_be_as_json_has_it_and_is_checked() -> None:
    assert perform(COUNTING, {"words": ["a"]}) == {"a": 1}
    with pytest.raises(ContractBroken, match=r"\$\.words"):
        perform(COUNTING, {"words": 1})


def test_an_output_outside_its_contract_is_an_error_with_its_place() -> None:
    with pytest.raises(AttemptFailed, match=r"the output of stage 'fetch'.*\(at \$\.words\[0\]\)"):
        perform(bound_to_fetch(lambda url: {"words": [1]}), "u")


def test_a_handler_is_stopped_at_its_timeout() -> None:
    stage = replace(FETCH, timeout=0.01)
    pipeline = Pipeline(name="slow", description="Times out.", stages=(stage,))

    async def slow(url: str) -> Page:
        await asyncio.sleep(60)
        return Page([])

    with pytest.raises(TimeLimitExceeded, match=r"longer than its 0\.01 s"):
        perform(Binding(pipeline=pipeline, stage="fetch", handler=slow), "u")


@pytest.mark.parametrize(
    ("error", "attempt", "expected"),
    [
        (OSError(), 1, ("again", 2.0)),
        (OSError(), 2, ("again", 4.0)),
        (OSError(), 3, ("given up", "max-retries")),
        (KeyError(), 1, ("given up", "not-retryable")),
        (TryAgain(after=7), 1, ("again", 7.0)),
        (Outage(), 3, ("outage", 2.0)),
    ],
)
def test_the_judgement_on_an_attempt(error: Exception, attempt: int, expected: tuple[str, Any]) -> None:
    outcome = outcome_of(bound_to_fetch(Flaky(fails=9, error=error)), "u", attempt=attempt)

    assert _brief(outcome) == expected


def test_the_judgement_on_a_success_has_its_output() -> None:
    assert _brief(outcome_of(COUNTING, Page(["a"]))) == ("done", b'{"a":1}')


def test_a_pipeline_runs_inline_and_gives_its_result() -> None:
    assert run([bound_to_fetch(fetch), COUNTING], "u", deps={"u": "a b a"}) == {"a": 2, "b": 1}


def test_a_failing_attempt_is_made_again_as_its_policy_has_it_and_no_time_passes() -> None:
    flaky = Flaky(fails=2, then=Page(["a"]))

    assert run([bound_to_fetch(flaky), COUNTING], "u") == {"a": 1}
    assert flaky.calls == 3


def test_a_pipeline_that_fails_raises_the_handlers_error_with_its_attempts() -> None:
    flaky = Flaky(fails=9, error=OSError("no network"))

    with pytest.raises(OSError, match="no network") as raised:
        run([bound_to_fetch(flaky), COUNTING], "u")

    assert flaky.calls == 3
    (note,) = raised.value.__notes__
    assert note == (
        "stage 'fetch': attempt 1: OSError, again after 2 s; attempt 2: OSError, again after 4 s; "
        "attempt 3: OSError, given up (max-retries)"
    )


def test_an_outage_is_waited_out_and_given_up_at_its_limit() -> None:
    ends = Flaky(fails=50, then=Page(["a"]), error=Outage("away"))
    assert run([bound_to_fetch(ends), COUNTING], "u") == {"a": 1}

    never = Flaky(fails=1_000_000_000, error=Outage("away"))
    with pytest.raises(Outage, match="away"):
        run([bound_to_fetch(never), COUNTING], "u")
    assert math.isclose(never.calls, 7 * 86_400 / 300, rel_tol=0.05)


def test_bindings_that_are_not_the_whole_pipeline_are_refused() -> None:
    with pytest.raises(ValueError, match="fetch → count; it was given: count"):
        run([COUNTING], Page([]))


async def test_in_a_running_event_loop_the_async_functions_are_used() -> None:
    binding = bound_to_fetch(fetch)
    assert await perform_async(binding, "u", deps={"u": "a"}) == Page(["a"])
    assert await run_async([binding, COUNTING], "u", deps={"u": "a"}) == {"a": 1}
    assert isinstance(await outcome_of_async(binding, "u", deps={}), RetryLater | GiveUp)
    with pytest.raises(RuntimeError, match=r"await perform_async\("):
        perform(binding, "u")


def _brief(outcome: Done | RetryLater | GiveUp) -> tuple[str, Any]:
    match outcome:
        case Done(output):
            return "done", bytes(output)
        case RetryLater(after):
            return "again" if outcome.counted else "outage", after
        case GiveUp(reason):
            return "given up", reason


def test_a_traceback_has_the_handlers_error_alone() -> None:
    async def fail(url: str) -> Page:
        raise ValueError(url)

    with pytest.raises(ValueError, match="a") as raised:
        perform(bound_to_fetch(fail), "a")
    outcome = outcome_of(bound_to_fetch(fail), "a")

    assert raised.value.__context__ is None
    assert isinstance(outcome, RetryLater)
    assert "During handling" not in outcome.failure.traceback
