"""A run goes on when a job is given up."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from mousetrap.jobs import dead_queue, decode
from mousetrap.payloads import PayloadOptions
from mousetrap.pipeline import AnyOf, Fallback, Fallen, Lock, Pipeline, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.run_store import Granted, StoredRun
from mousetrap.shapes import RunState
from support.workbench import TIMEOUT_S, Workbench, on_streams, workbench_for

pytestmark = pytest.mark.own_queues

TWICE = RetryPolicy(attempts=2, base=0.001, cap=0.001)


def letters(on_failure: Any, **more: Any) -> Pipeline:
    """write -> send, which falls back to regret -> note."""
    mark = uuid4().hex[:8]

    def stage(name: str, takes: Any, gives: Any, **more: Any) -> Stage:
        return Stage(name=name, queue=f"{name}_{mark}", input=takes, output=gives, retry=TWICE, **more)

    return Pipeline(
        name=f"letters_{mark}",
        description="Sends letters.",
        stages=(
            stage("write", int, str),
            stage("send", str, str, on_failure=on_failure, **more),
            stage("regret", Fallen[str], str),
            stage("note", str, list[str], after=AnyOf("send", "regret")),
        ),
    )


async def write(number: int) -> str:
    return f"letter {number}"


async def send(text: str) -> str:
    raise ConnectionError("no post today")


def regret(fallen: Fallen[str]) -> str:
    return f"{fallen.input} was not sent: {fallen.kind}: {fallen.text} ({fallen.attempts}, {fallen.reason})"


async def note(text: str) -> list[str]:
    return [text]


def bound(bench: Workbench, **other: Any) -> list[Any]:
    handlers = {"write": write, "send": send, "regret": regret, "note": note} | other
    return [bench.bind(stage.name, handlers[stage.name]) for stage in bench.pipeline.stages]


def kinds(run: StoredRun) -> list[tuple[str, str]]:
    return [(event.stage or "", event.kind) for event in run.timeline]


async def test_a_run_falls_back_when_the_attempts_are_used_up(queue_url: str, store_url: str) -> None:
    async with workbench_for(letters(Fallback("regret")), queue_url, store_url) as bench:
        async with bench.working(*bound(bench)):
            run = await bench.ended(await bench.submit(b"7"))
        assert await bench.queue.count_ready(dead_queue(bench.queue_of("send"))) == 0

    assert run.state is RunState.COMPLETED
    assert run.result == ["letter 7 was not sent: ConnectionError: no post today (2, max-retries)"]
    assert [kind for stage, kind in kinds(run) if stage == "send"] == [
        "started",
        "retrying",
        "started",
        "gave_up",
    ]
    assert ("regret", "started") in kinds(run)
    given_up = next(event for event in run.timeline if event.kind == "gave_up")
    assert given_up.failure is not None
    assert "in send" in given_up.failure.traceback


async def test_a_run_that_need_not_fall_back_does_not(queue_url: str, store_url: str) -> None:
    async def sends(text: str) -> str:
        return text

    async with (
        workbench_for(letters(Fallback("regret")), queue_url, store_url) as bench,
        bench.working(*bound(bench, send=sends)),
    ):
        run = await bench.ended(await bench.submit(b"7"))

    assert (run.state, run.result) == (RunState.COMPLETED, ["letter 7"])


@on_streams
async def test_a_run_does_not_fall_back_with_more_than_a_payload_may_have(
    queue_url: str, store_url: str
) -> None:
    """The input has as much already."""
    sizes = PayloadOptions(inline=1024, largest=2048)
    pipeline = letters(Fallback("regret"))
    async with workbench_for(pipeline, queue_url, store_url, payloads=sizes) as bench:

        async def writes(number: int) -> str:
            return "x" * number

        async with bench.working(*bound(bench, write=writes)):
            run_id = await bench.submit(b"2046")
            letter = await bench.dead_letter("send")
            run = await bench.ended(run_id)

    assert (run.state, letter.headers["mousetrap-reason"]) == (RunState.FAILED, "max-retries")


@on_streams
async def test_a_fallback_goes_on_in_place_only_if_its_record_stays(queue_url: str, store_url: str) -> None:
    """With the failure the record has more than the store keeps, though its output has less; the lock has it dropped early."""
    pipeline = letters(Fallback("regret"))
    stages = [replace(it, lock=Lock(name="pen")) if it.name == "regret" else it for it in pipeline.stages]
    begun = asyncio.Event()

    async def writes(number: int) -> str:
        return "x" * number

    async def fails(text: str) -> str:
        raise ConnectionError("no post today" * 100)

    async def waits(fallen: Fallen[str]) -> str:
        begun.set()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async with workbench_for(
        replace(pipeline, stages=tuple(stages), in_place=True), queue_url, store_url
    ) as bench:
        async with bench.working(*bound(bench, write=writes, send=fails, regret=waits)) as worker:
            run_id = await bench.submit(b"%d" % (bench.store.keep - 2_250))
            await asyncio.wait_for(begun.wait(), TIMEOUT_S)
            worker.stop.ask()
            worker.stop.forced.set()
        async with bench.working(*bound(bench)):
            run = await bench.ended(run_id)

    assert run.state is RunState.COMPLETED


@on_streams
async def test_a_fallback_that_fails_fails_the_run(queue_url: str, store_url: str) -> None:
    def fails(fallen: Fallen[str]) -> str:
        raise KeyError("no address")

    async with (
        workbench_for(letters(Fallback("regret")), queue_url, store_url) as bench,
        bench.working(*bound(bench, regret=fails)),
    ):
        run = await bench.ended(await bench.submit(b"7"))
        letter = await bench.dead_letter("regret")

    assert run.state is RunState.FAILED
    assert letter.headers["mousetrap-error-type"] == "KeyError"


def of_one_stage() -> Pipeline:
    """send, which is its end, and falls back to regret."""
    pipeline = letters(Fallback("regret"))
    return replace(pipeline, stages=pipeline.stages[1:3])


def one_bound(bench: Workbench, **other: Any) -> list[Any]:
    return [bench.bind("send", other.get("send", send)), bench.bind("regret", regret)]


@on_streams
async def test_a_run_is_repeated_from_the_fallback_of_its_last_stage(queue_url: str, store_url: str) -> None:
    async with (
        workbench_for(of_one_stage(), queue_url, store_url) as bench,
        bench.working(*one_bound(bench)),
    ):
        run = await bench.ended(await bench.submit(b'"a"'))
        again = await bench.submitter.rerun(run, run_id=uuid4().hex, begin="regret", body=None)
        repeated = await bench.ended(again.run_id)

    assert (repeated.state, repeated.result) == (RunState.COMPLETED, run.result)
    assert "send" not in [stage for stage, kind in kinds(repeated) if kind == "started"]


@on_streams
async def test_a_job_that_killed_its_workers_falls_back_with_a_large_payload(
    queue_url: str, store_url: str
) -> None:
    text = "x" * 1_000
    async with workbench_for(
        of_one_stage(), queue_url, store_url, payloads=PayloadOptions(inline=100)
    ) as bench:
        run_id = await bench.submit(f'"{text}"'.encode())
        crashes = bench.pipeline.first.retry.crashes
        for number in range(crashes):
            await die_of(bench, redelivered=number > 0)
        async with bench.working(*one_bound(bench), lease=1.0):
            run = await bench.ended(run_id)

    assert (run.state, run.result) == (
        RunState.COMPLETED,
        f"{text} was not sent: CrashLoop: {_died(crashes)}",
    )


def _died(crashes: int) -> str:
    return f"{crashes} workers began this attempt and died before its end: look for what kills them (memory?) (1, crash-loop)"


async def die_of(bench: Workbench, *, redelivered: bool) -> None:
    """A worker begins the next job of the first stage, and dies; its claim ends at once."""
    delivery = await bench.next_of(bench.queue_of("send"))
    job = decode(delivery.message.body)
    worker = uuid4().hex
    claim = await bench.store.claim(job, worker=worker, redelivered=redelivered, lease=0.0)
    assert isinstance(claim, Granted)
    if claim.suspect:
        await bench.store.begin(job, fence=claim.fence, worker=worker)
    delivery.hand_back()


@on_streams
async def test_what_is_too_large_for_a_fallback_is_a_dead_letter(queue_url: str, store_url: str) -> None:
    async with (
        workbench_for(
            of_one_stage(), queue_url, store_url, payloads=PayloadOptions(inline=100, largest=1_000)
        ) as bench,
        bench.working(*one_bound(bench)),
    ):
        run = await bench.ended(await bench.submit(f'"{"x" * 990}"'.encode()))
        letter = await bench.dead_letter("send")

    assert run.state is RunState.FAILED
    assert letter.headers["mousetrap-reason"] == "max-retries"


@on_streams
async def test_an_input_outside_its_contract_is_not_handed_to_the_fallback(
    queue_url: str, store_url: str
) -> None:
    """It could not be read there either, and the dead letter is to be that of the stage which refused it."""
    async with workbench_for(of_one_stage(), queue_url, store_url) as bench:
        run_id = await bench.submit(b'"a"')
        first, second = bench.pipeline.stages
        stages = (replace(first, input=int), replace(second, input=Fallen[int]))
        newer = replace(bench, pipeline=replace(bench.pipeline, stages=stages))
        async with newer.working(*one_bound(newer)):
            run = await bench.ended(run_id)
            letter = await bench.dead_letter("send")

    assert run.state is RunState.FAILED
    assert letter.headers["mousetrap-reason"] == "contract"


def optional(*, last: bool) -> Pipeline:
    """look_up, whose failures are skipped, -> greet; or look_up alone."""
    mark = uuid4().hex[:8]
    look_up = Stage(
        name="look_up", queue=f"look_up_{mark}", input=int, output=str, retry=TWICE, on_failure="skip"
    )
    greet = Stage(name="greet", queue=f"greet_{mark}", input=str | None, output=str)
    stages = (look_up,) if last else (look_up, greet)
    return Pipeline(name=f"greetings_{mark}", description="Greets people.", stages=stages)


async def look_up(number: int) -> str:
    if number < 0:
        raise LookupError(number)
    return f"number {number}"


def greet(name: str | None) -> str:
    return f"Hello, {name or 'friend'}!"


@pytest.mark.parametrize(("number", "result"), [(b"1", "Hello, number 1!"), (b"-1", "Hello, friend!")])
async def test_a_failure_that_is_skipped_is_null_for_the_next_stage(
    queue_url: str, store_url: str, number: bytes, result: str
) -> None:
    async with (
        workbench_for(optional(last=False), queue_url, store_url) as bench,
        bench.working(bench.bind("look_up", look_up), bench.bind("greet", greet)),
    ):
        run = await bench.ended(await bench.submit(number))

    assert (run.state, run.result) == (RunState.COMPLETED, result)
    assert (("look_up", "gave_up") in kinds(run)) == (number == b"-1")


async def test_a_failure_of_the_last_stage_that_is_skipped_completes_the_run(
    queue_url: str, store_url: str
) -> None:
    async with (
        workbench_for(optional(last=True), queue_url, store_url) as bench,
        bench.working(bench.bind("look_up", look_up)),
    ):
        run = await bench.ended(await bench.submit(b"-1"))

    assert (run.state, run.result) == (RunState.COMPLETED, None)
