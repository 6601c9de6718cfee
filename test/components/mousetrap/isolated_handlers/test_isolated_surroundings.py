"""What surrounds an isolated handler runs in its process."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mousetrap.isolated_handlers import IsolatedHandler
from mousetrap.jobs import Done, GiveUp, Outcome, RetryLater
from support import surrounded_handlers as handlers
from support.handler_host import JOB, HandlerBench, until

# Each test starts processes.
pytestmark = pytest.mark.slow
TIMEOUT_S = 60.0
#: Seconds, in which a handler begins on a busy machine too.
SOFT_S = 0.75


@asynccontextmanager
async def isolated(
    handler: Callable[..., Any], bench: HandlerBench | None = None, **more: Any
) -> AsyncIterator[Callable[[Any], Any]]:
    """Runs one job after another in one process; the block gets a function that makes an attempt."""
    bench = bench or HandlerBench(ThreadPoolExecutor(1))
    more["stage"] = {"input": Any, **more.get("stage", {})}
    isolated = IsolatedHandler(bench.binding(handler, isolated=True, **more), bench.host, processes=1)

    async def run(value: Any) -> Outcome:
        job = msgspec.structs.replace(JOB, payload=msgspec.Raw(msgspec.json.encode(value)))
        return await isolated.run(job, fence=7)

    try:
        yield run
    finally:
        await asyncio.wait_for(isolated.close(), TIMEOUT_S)


def value_of(outcome: Outcome) -> Any:
    assert isinstance(outcome, Done), outcome
    return msgspec.json.decode(outcome.output)


@pytest.mark.parametrize("handler", [handlers.plus, handlers.plus_later, handlers.plus_by_run])
async def test_around_and_middleware_surround_a_handler_in_its_process(handler: Callable[..., Any]) -> None:
    async with isolated(
        handler, around=handlers.around, middleware=[handlers.tenfold, handlers.tenfold]
    ) as run:
        values = [value_of(await run(number)) for number in (1, 2)]

    assert values == [[[101, 1], 1], [[201, 1], 1]]


@pytest.mark.parametrize("handler", [handlers.plus, handlers.plus_later])
async def test_what_raises_around_an_isolated_handler_is_judged_and_the_process_serves_on(
    handler: Callable[..., Any],
) -> None:
    async with isolated(handler, middleware=[handlers.fails_before]) as run:
        first, second = await run(1), await run(1)

    for outcome in (first, second):
        assert isinstance(outcome, RetryLater)
        assert outcome.failure.kind == "KeyError"
        assert "in fails_before" in outcome.failure.traceback


@pytest.mark.parametrize("handler", [handlers.pages, handlers.pages_later])
async def test_an_isolated_generator_s_values_are_kept_by_the_worker(handler: Callable[..., Any]) -> None:
    bench = HandlerBench(ThreadPoolExecutor(1))
    async with isolated(handler, bench) as run:
        text, process = value_of(await run(1))
        assert bench.values == [{"page": 1}, None]
        assert (await run(2)) is not None

    assert text == "all"
    assert process != os.getpid()
    assert len(bench.yielded) == 4


@pytest.mark.parametrize(
    ("handler", "kind", "reason"),
    [(handlers.fails_half_way, RetryLater, ""), (handlers.bad_value, GiveUp, "contract")],
)
async def test_an_isolated_generator_that_fails_keeps_the_values_before(
    handler: Callable[..., Any], kind: type, reason: str
) -> None:
    bench = HandlerBench(ThreadPoolExecutor(1))
    async with isolated(handler, bench) as run:
        outcome = await run(1)

    assert isinstance(outcome, kind)
    assert getattr(outcome, "reason", "") == reason
    assert len(bench.values) == 1


@pytest.mark.parametrize("handler", [handlers.counts, handlers.counts_later])
async def test_a_soft_timeout_reaches_an_isolated_generator(
    handler: Callable[..., Any], tmp_path: Path
) -> None:
    note = tmp_path / "note"
    async with isolated(handler, stage={"soft_timeout": SOFT_S, "timeout": TIMEOUT_S}) as run:
        assert value_of(await run(str(note))) == "soft"

    assert note.read_text() == "closed"


async def test_a_reply_that_comes_after_the_soft_timeout_is_not_taken_for_the_next_value_s(
    tmp_path: Path,
) -> None:
    note, bench = tmp_path / "note", HandlerBench(ThreadPoolExecutor(1))
    asked: list[int] = []

    async def keep(attempt: Any, number: int, value: bytes) -> Any:
        asked.append(number)
        if number == 1:
            await until(note.exists)  # the handler waits for its second value by then
            return "recorded"
        return "over"

    bench.host = replace(bench.host, emit=keep)
    async with isolated(
        handlers.yields_at_soft_timeout, bench, stage={"soft_timeout": SOFT_S, "timeout": TIMEOUT_S}
    ) as run:
        outcome = await run(str(note))

    assert asked == [1, 2]
    assert note.read_text() == "soft", "the attempt was over"
    assert not isinstance(outcome, Done)


async def test_a_sync_generator_that_waits_for_a_reply_at_its_soft_timeout_may_still_return(
    tmp_path: Path,
) -> None:
    note, bench = tmp_path / "note", HandlerBench(ThreadPoolExecutor(1))

    async def keep(attempt: Any, number: int, value: bytes) -> Any:
        await until(note.exists)
        return "recorded"

    bench.host = replace(bench.host, emit=keep)
    async with isolated(
        handlers.returns_at_soft_timeout, bench, stage={"soft_timeout": SOFT_S, "timeout": TIMEOUT_S}
    ) as run:
        assert value_of(await run(str(note))) == "soft"


@pytest.mark.parametrize("handler", [handlers.counts, handlers.counts_later])
async def test_a_cancel_closes_an_isolated_generator(
    handler: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.isolated_handlers.process_pool._HANDLER_GRACE_S", TIMEOUT_S)
    note, bench = tmp_path / "note", HandlerBench(ThreadPoolExecutor(1))
    async with isolated(handler, bench) as run:
        attempt = asyncio.ensure_future(run(str(note)))
        await until(lambda: len(bench.yielded) > 3)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt

    assert note.read_text() == "closed"


@pytest.mark.parametrize("hook", [handlers.note, handlers.note_later])
async def test_an_isolated_handler_s_error_hook_runs_in_its_process(
    hook: Callable[..., Any], tmp_path: Path
) -> None:
    note = tmp_path / "note"
    async with isolated(handlers.fails, on_error=hook) as run:
        outcome = await run(str(note))

    assert isinstance(outcome, RetryLater)
    assert outcome.failure.kind == "ZeroDivisionError"
    *words, process = note.read_text().split()
    assert words == ["ZeroDivisionError", "RetryLater", "add"]
    assert int(process) != os.getpid()


def test_what_another_process_cannot_import_is_refused_with_the_reason() -> None:
    async def local(context: Any, payload: Any, call_next: Any) -> Any:
        return await call_next(payload)

    bench = HandlerBench(ThreadPoolExecutor(1))
    binding = replace(bench.binding(handlers.plus, isolated=True), middleware=(local,))

    with pytest.raises(
        ValueError, match="must import its handler, what surrounds it, its lifespan and contracts"
    ):
        IsolatedHandler(binding, bench.host, processes=1)
