"""One run is one trace, with the SDK's in-memory exporter."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from mousetrap.handlers import Binding, Context
from mousetrap.jobs import Message, TraceContext, decode, signed_message
from mousetrap.pipeline import All, Each, Gathered, Many, Pipeline, Stage
from mousetrap.shapes import RunState
from mousetrap.submit_run import Submission
from mousetrap.telemetry import log_facts
from support import isolated_handlers
from support.workbench import KEYRING, TIMEOUT_S, Workbench, a_pipeline, workbench_for

pytestmark = pytest.mark.own_queues


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The spans of this test: its provider is the process's own, as a deployer sets it."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


@pytest.fixture
def three(queue_url: str, store_url: str) -> AbstractAsyncContextManager[Workbench]:
    """A pipeline of three stages."""
    pipeline = a_pipeline()
    first = pipeline.stages[0]
    last = replace(first, name="last", queue=first.queue.replace("add", "last"))
    return workbench_for(replace(pipeline, stages=(*pipeline.stages, last)), queue_url, store_url)


@pytest.fixture
def fan(queue_url: str, store_url: str) -> AbstractAsyncContextManager[Workbench]:
    """A fan-out and its join."""
    mark = uuid4().hex[:8]
    stages = (
        Stage(name="find", queue=f"find_{mark}", input=int, output=Many[int]),
        Stage(name="read", queue=f"read_{mark}", input=int, output=int, after=Each("find")),
        Stage(name="sum", queue=f"sum_{mark}", input=Gathered[int], output=int, after=All("read")),
    )
    return workbench_for(
        Pipeline(name=f"fan_{mark}", description="A fan.", stages=stages), queue_url, store_url
    )


class Spans:
    """What was exported, by name."""

    def __init__(self, exporter: InMemorySpanExporter, run: str | None = None) -> None:
        self.all = [
            each
            for each in exporter.get_finished_spans()
            if run is None or (each.attributes or {}).get("mousetrap.run.id") == run
        ]

    def named(self, name: str) -> list[ReadableSpan]:
        return sorted((each for each in self.all if each.name == name), key=lambda each: each.start_time or 0)

    def one(self, name: str) -> ReadableSpan:
        [only] = self.named(name)
        return only

    @property
    def traces(self) -> set[int]:
        return {context_of(each).trace_id for each in self.all}


def context_of(span: ReadableSpan) -> SpanContext:
    found: SpanContext | None = span.context
    assert found is not None
    return found


def is_child(child: ReadableSpan, parent: ReadableSpan) -> bool:
    return child.parent is not None and child.parent.span_id == context_of(parent).span_id


def leads_to(span: ReadableSpan, other: ReadableSpan) -> bool:
    return context_of(other).span_id in {link.context.span_id for link in span.links}


async def flaky(number: int, context: Context[None]) -> int:
    if context.attempt == 1:
        raise ConnectionError("the first attempt fails")
    with trace.get_tracer("a.user").start_as_current_span("the user's own"):
        await asyncio.sleep(0)
    return number + 1


def plain(number: int) -> int:
    trace.get_tracer("a.user").start_span("in a thread").end()
    return number


async def fails(number: int) -> int:
    raise ZeroDivisionError("never again")


async def test_a_run_over_three_stages_with_a_retry_is_one_trace(
    exporter: InMemorySpanExporter, three: Workbench
) -> None:
    bindings = [three.bind("add", at_once), three.bind("double", flaky), three.bind("last", plain)]
    async with three.working(*bindings) as worker:
        run = await three.ended(await three.submit(b"20"))

    assert run.state is RunState.COMPLETED
    spans, queues = Spans(exporter), [three.queue_of(stage) for stage in ("add", "double", "last")]
    assert len(spans.traces) == 1
    assert run.trace_id == f"{spans.traces.pop():032x}"
    submit = spans.one(f"submit {three.pipeline.name}")
    first = spans.one(f"publish {queues[0]}")
    add = spans.one(f"process {queues[0]}")
    again = spans.named(f"process {queues[1]}")
    to_double, to_last = (spans.one(f"publish {queue}") for queue in queues[1:])
    last = spans.one(f"process {queues[2]}")
    assert submit.parent is None
    assert is_child(first, submit) and is_child(add, first)
    assert is_child(to_double, add) and len(again) == 2
    assert all(is_child(attempt, to_double) for attempt in again)
    assert leads_to(again[1], again[0]) and not again[0].links
    assert is_child(to_last, again[1]) and is_child(last, to_last)
    assert is_child(spans.one("the user's own"), again[1])
    assert is_child(spans.one("in a thread"), last)
    assert (first.kind, add.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert [event.name for event in again[0].events] == ["retry"]
    assert (again[0].status.status_code, again[1].status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert dict(add.attributes or {}) == {
        "messaging.system": "mousetrap",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": queues[0],
        "messaging.message.id": (add.attributes or {})["messaging.message.id"],
        "messaging.message.conversation_id": run.id,
        "messaging.client.id": worker.name,
        "mousetrap.run.id": run.id,
        "mousetrap.pipeline": three.pipeline.name,
        "mousetrap.stage": "add",
        "mousetrap.attempt": 1,
        "mousetrap.outcome": "done",
    }


async def at_once(number: int) -> int:
    return number + 1


async def test_a_redrive_begins_a_trace_that_links_to_the_attempt_that_failed(
    exporter: InMemorySpanExporter, bench: Workbench
) -> None:
    queue = bench.queue_of("add")
    async with bench.working(bench.bind("add", fails), bench.bind("double", plain)):
        await bench.ended(await bench.submit())
        letter = decode((await bench.dead_letter("add")).body)
    redriven = await bench.store.redrive(letter)
    assert not isinstance(redriven, str)
    await bench.queue.publish(queue, signed_message(redriven, KEYRING))
    await bench.store.mark_redriven(redriven)
    async with bench.working(bench.bind("add", at_once), bench.bind("double", plain)):
        run = await bench.ended(letter.run_id)

    assert run.state is RunState.COMPLETED
    spans = Spans(exporter)
    failed, good = spans.named(f"process {queue}")
    assert [event.name for event in failed.events] == ["dead-lettered"]
    assert good.parent is None and leads_to(good, failed)
    assert len(spans.traces) == 2
    ours = [each for each in spans.all if context_of(each).trace_id == context_of(good).trace_id]
    assert f"process {bench.queue_of('double')}" in {each.name for each in ours}


async def test_a_re_run_begins_a_trace_that_links_to_the_run_that_it_repeats(
    exporter: InMemorySpanExporter, bench: Workbench
) -> None:
    async with bench.working(bench.bind("add", at_once), bench.bind("double", plain)):
        first = await bench.ended(await bench.submit())
        again = await bench.submitter.rerun(first, run_id="again-" + first.id[:8])
        second = await bench.ended(again.run_id)

    assert second.trace_id not in (None, first.trace_id)
    published = Spans(exporter, first.id).one(f"publish {bench.queue_of('add')}")
    assert leads_to(Spans(exporter, second.id).one(f"submit {bench.pipeline.name}"), published)
    assert len(Spans(exporter, second.id).traces) == 1


async def test_runs_that_are_submitted_together_have_a_trace_each(
    exporter: InMemorySpanExporter, bench: Workbench
) -> None:
    with trace.get_tracer("caller").start_as_current_span("request"):
        alone = await bench.submit()
        await bench.submitter.submit_many(
            [Submission(bench.pipeline, b"1", f"{alone}-{n}") for n in range(2)]
        )

    spans = Spans(exporter)
    request = spans.one("request")
    child, *others = spans.named(f"submit {bench.pipeline.name}")
    assert is_child(child, request)
    assert all(each.parent is None and leads_to(each, request) for each in others)
    assert len(spans.traces) == 3


async def test_a_run_goes_on_in_its_trace_through_a_worker_that_does_not_trace(
    exporter: InMemorySpanExporter, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await bench.submit()
    with monkeypatch.context() as without:
        without.setattr(trace, "_TRACER_PROVIDER", None)
        async with bench.working(bench.bind("add", at_once)):
            delivery = await bench.next_of(bench.queue_of("double"))
            carried = decode(delivery.message.body).trace
            delivery.hand_back()

    assert isinstance(carried, TraceContext) and carried.traceparent
    assert not Spans(exporter).named(f"process {bench.queue_of('add')}")
    async with bench.working(bench.bind("double", plain)):
        await bench.ended(run_id)
    assert len(Spans(exporter, run_id).traces) == 1


async def test_a_chain_that_goes_on_in_place_is_one_trace(
    exporter: InMemorySpanExporter, queue_url: str, store_url: str
) -> None:
    pipeline = replace(a_pipeline(), in_place=True)
    async with workbench_for(pipeline, queue_url, store_url) as bench:
        async with bench.working(bench.bind("add", at_once), bench.bind("double", at_once)):
            await bench.ended(await bench.submit())
        add, double = (bench.queue_of(stage) for stage in ("add", "double"))

    spans = Spans(exporter)
    assert is_child(spans.one(f"publish {double}"), spans.one(f"process {add}"))
    assert is_child(spans.one(f"process {double}"), spans.one(f"publish {double}"))
    assert len(spans.traces) == 1


async def test_an_attempt_that_is_stopped_has_that_as_its_outcome(
    exporter: InMemorySpanExporter, bench: Workbench
) -> None:
    entered = asyncio.Event()

    async def waits(number: int) -> int:
        entered.set()
        await asyncio.Event().wait()
        return number

    async with bench.working(bench.bind("add", waits)):
        run_id = await bench.submit()
        await asyncio.wait_for(entered.wait(), TIMEOUT_S)
        await bench.store.cancel(run_id)
        await bench.ended(run_id)

    process = Spans(exporter).one(f"process {bench.queue_of('add')}")
    assert (process.attributes or {})["mousetrap.outcome"] == "cancelled"


async def test_a_hook_on_errors_is_in_the_span_of_the_attempt_that_failed(
    exporter: InMemorySpanExporter, bench: Workbench
) -> None:
    seen: list[int] = []

    async def note(context: Context[None], error: BaseException, outcome: object) -> None:
        seen.append(trace.get_current_span().get_span_context().span_id)

    async with bench.working(bench.bind("add", fails, on_error=note)):
        await bench.ended(await bench.submit())

    assert seen == [context_of(Spans(exporter).one(f"process {bench.queue_of('add')}")).span_id]


@pytest.mark.parametrize("count", [3, 120])
async def test_children_are_in_the_run_s_trace_unless_there_are_too_many_for_one(
    count: int, exporter: InMemorySpanExporter, fan: Workbench
) -> None:
    bindings = [fan.bind("find", find), fan.bind("read", at_once), fan.bind("sum", how_many)]
    async with fan.working(*bindings):
        run = await fan.ended(await fan.submit(b"%d" % count))

    spans = Spans(exporter)
    finding, joining = (spans.one(f"process {fan.queue_of(name)}") for name in ("find", "sum"))
    children = spans.named(f"process {fan.queue_of('read')}")
    assert (run.result, len(children)) == (count, count)
    assert is_child(joining, finding) and len(joining.links) == 1
    if count <= 100:
        assert len(spans.traces) == 1
        sent = spans.one(f"publish {fan.queue_of('read')}")
        assert is_child(sent, finding) and all(is_child(each, sent) for each in children)
        assert (sent.attributes or {})["messaging.batch.message_count"] == count
    else:
        assert len(spans.traces) == 1 + count
        assert all(each.parent is None and leads_to(each, finding) for each in children)


async def test_a_fork_and_its_join_are_in_the_trace_of_their_run(
    exporter: InMemorySpanExporter, queue_url: str, store_url: str
) -> None:
    mark = uuid4().hex[:8]
    stages = (
        Stage(name="split", queue=f"split_{mark}", input=int, output=int),
        Stage(name="left", queue=f"left_{mark}", input=int, output=int, after="split"),
        Stage(name="right", queue=f"right_{mark}", input=int, output=int, after="split"),
        Stage(name="meet", queue=f"meet_{mark}", input=Both, output=int, after=All("left", "right")),
    )
    pipeline = Pipeline(name=f"fork_{mark}", description="A fork.", stages=stages)
    bindings = [
        Binding(pipeline=pipeline, stage=name, handler=at_once) for name in ("split", "left", "right")
    ]
    bindings.append(Binding(pipeline=pipeline, stage="meet", handler=added))
    async with workbench_for(pipeline, queue_url, store_url) as bench, bench.working(*bindings):
        run = await bench.ended(await bench.submit())

    spans = Spans(exporter)
    split, meet = spans.one(f"process split_{mark}"), spans.one(f"process meet_{mark}")
    assert (run.result, len(spans.traces)) == (6, 1)
    for name in ("left", "right"):
        sent = spans.one(f"publish {name}_{mark}")
        assert is_child(sent, split) and is_child(spans.one(f"process {name}_{mark}"), sent)
    assert is_child(meet, split) and len(meet.links) == 1


class Both(msgspec.Struct):
    left: int
    right: int


async def added(both: Both) -> int:
    return both.left + both.right


async def find(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def how_many(numbers: Gathered[int]) -> int:
    return len([value async for _, value in numbers])


@pytest.mark.slow
async def test_a_handler_s_own_process_is_in_the_span_and_so_are_its_log_lines(
    exporter: InMemorySpanExporter, bench: Workbench, capfd: pytest.CaptureFixture[str]
) -> None:
    isolated = bench.bind("add", isolated_handlers.span_of, isolated=True)
    async with bench.working(isolated, bench.bind("double", plain)):
        run = await bench.ended(await bench.submit())

    ids = context_of(Spans(exporter).one(f"process {bench.queue_of('add')}"))
    assert run.result == ids.span_id % 2**31
    line = next(line for line in capfd.readouterr().err.splitlines() if "in a span" in line)
    assert f"'trace_id': '{ids.trace_id:032x}', 'span_id': '{ids.span_id:016x}'" in line


async def test_a_line_that_a_handler_causes_has_the_ids_of_its_span(
    exporter: InMemorySpanExporter, bench: Workbench
) -> None:
    seen: list[dict[str, Any]] = []

    async def logs(number: int) -> int:
        seen.append(log_facts())
        return number

    async with bench.working(bench.bind("add", logs), bench.bind("double", plain)):
        await bench.ended(await bench.submit())

    ids = context_of(Spans(exporter).one(f"process {bench.queue_of('add')}"))
    assert seen[0]["trace_id"] == f"{ids.trace_id:032x}" and seen[0]["span_id"] == f"{ids.span_id:016x}"


async def test_a_run_that_no_tracing_process_accepted_is_one_trace_from_its_first_attempt_on(
    exporter: InMemorySpanExporter, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setattr(trace, "_TRACER_PROVIDER", None)
        run_id = await bench.submit()
    async with bench.working(bench.bind("add", flaky), bench.bind("double", plain)):
        await bench.ended(run_id)

    spans = Spans(exporter, run_id)
    first, second = spans.named(f"process {bench.queue_of('add')}")
    assert first.parent is None and is_child(second, first) and leads_to(second, first)
    assert len(spans.traces) == 1


async def test_without_a_provider_no_message_has_a_trace(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    async with bench.working(bench.bind("add", at_once)):
        run_id = await bench.submit()
        message: Message = (await bench.next_of(bench.queue_of("double"))).message

    assert b"trace" not in message.body
    stored = await bench.store.get(run_id)
    assert stored is not None and stored.trace_id is None
