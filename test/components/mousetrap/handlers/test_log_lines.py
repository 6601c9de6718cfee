"""Each line that a handler causes has the facts of its attempt."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import Any

import pytest

from mousetrap.handlers import Binding, Context, HandlerHost, HungHandlers, bound
from mousetrap.jobs import first_job
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.telemetry import log_facts, log_to_stderr

JOB = first_job(run_id="r", pipeline="sums", stage="add", payload=b"1", accepted_ms=1)
FACTS = {"run": "r", "pipeline": "sums", "stage": "add", "job": JOB.id, "attempt": 1, "worker": "w"}
LIBRARY = logging.getLogger("a.library")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


async def at_once(number: int) -> int:
    LIBRARY.info("line")
    return number


async def in_a_task_and_a_thread(number: int) -> int:
    async def task() -> None:
        LIBRARY.info("line")

    await asyncio.gather(task(), asyncio.to_thread(LIBRARY.info, "line"))
    LIBRARY.info("line")
    return number


def in_its_thread(number: int) -> int:
    LIBRARY.info("line")
    thread = threading.Thread(target=copy_context().run, args=(LIBRARY.info, "line"))
    thread.start()
    thread.join()
    return number


def step_by_step(number: int) -> Iterator[int]:
    LIBRARY.info("line")
    yield number
    LIBRARY.info("line")


async def failing(number: int) -> int:
    raise ValueError


def note(context: Context[None], error: BaseException, outcome: object) -> None:
    LIBRARY.info("line")


async def note_later(context: Context[None], error: BaseException, outcome: object) -> None:
    LIBRARY.info("line")


@asynccontextmanager
async def around(context: Context[None]) -> AsyncIterator[None]:
    LIBRARY.info("line")
    yield


async def run(handler: Callable[..., Any], **more: Any) -> None:
    stage = Stage(name="add", queue="add", input=int, output=Any)
    pipeline = Pipeline(name="sums", description="One stage.", stages=(stage,))
    with ThreadPoolExecutor(2) as threads:
        host = HandlerHost(threads=threads, hung=HungHandlers(), worker="w", report=_drop)
        await bound(Binding(pipeline=pipeline, stage="add", handler=handler, **more), None, host).run(
            JOB, fence=1
        )


async def _drop(run_id: str, progress: Any) -> None: ...


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize(
    ("handler", "more", "lines"),
    [
        (at_once, {}, 1),
        (in_a_task_and_a_thread, {}, 3),
        (in_its_thread, {}, 2),
        (step_by_step, {}, 2),
        (at_once, {"around": around}, 2),
        (failing, {"on_error": note}, 1),
        (failing, {"on_error": note_later}, 1),
    ],
)
async def test_a_library_s_line_names_the_attempt_that_caused_it(
    style: Any, handler: Any, more: Any, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr("INFO", style)

    await run(handler, **more)

    written = [line for line in capsys.readouterr().err.splitlines() if "line" in line]
    assert len(written) == lines
    for line in written:
        if style == "json":
            assert json.loads(line).items() >= FACTS.items()
        else:
            assert line.endswith(" ".join(f"{name}={value}" for name, value in FACTS.items()))


async def test_what_is_logged_after_an_attempt_has_none_of_its_facts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_to_stderr("INFO", "text")

    await run(at_once)
    LIBRARY.info("outside")

    assert capsys.readouterr().err.splitlines()[-1].endswith("outside")
    assert log_facts() == {}


async def test_a_line_s_own_fact_stays(capsys: pytest.CaptureFixture[str]) -> None:
    async def its_own(number: int, context: Context[None]) -> int:
        LIBRARY.info("line", extra={"worker": "mine"})
        context.log.info("line", extra={"rows": 12})
        return number

    log_to_stderr("INFO", "json")
    await run(its_own)

    own, with_context = map(json.loads, capsys.readouterr().err.splitlines())
    assert (own["worker"], own["run"]) == ("mine", "r")
    assert with_context.items() >= {"rows": 12, **FACTS}.items()
