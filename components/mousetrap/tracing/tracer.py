"""Makes the spans of runs: one trace for each run.

- `submit <pipeline>` and within it `publish <queue>`: the run's first message is created there.
- `process <queue>` for each attempt, a child of where its message was created, with a link to the attempt before.
- `publish <queue>` for each message that follows, a child of the attempt.
- A redrive and a re-run begin a trace of their own, which links back.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import UNSET, structs
from opentelemetry import context, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from mousetrap.jobs import Done, GiveUp, Job, Outcome, RetryLater, TraceContext
from mousetrap.tracing import names
from mousetrap.tracing.carrier import context_of, linked_to, trace_of

_NO_TRACE = TraceContext()


class Tracer:
    """Begins spans with the provider that is set."""

    def __init__(self, provider: trace.TracerProvider, worker: str) -> None:
        self._tracer = provider.get_tracer(names.LIBRARY, schema_url=names.SCHEMA_URL)
        self._worker = worker

    @contextmanager
    def submitting(
        self, pipeline: str, queue: str, run_id: str, back: TraceContext | None, *, own: bool
    ) -> Iterator[TraceContext]:
        """The spans of a submission; gives what the first message carries.

        It is a child of the caller's span, unless the run begins a trace of its `own`: one of many that are submitted together, or
        one that repeats another and leads `back` to it. Those link to the caller's.
        """
        caller, back = trace.get_current_span().get_span_context(), back or _NO_TRACE
        own, links = own or bool(back.link), linked_to(back.link)
        if own and caller.is_valid:
            links.append(trace.Link(caller))
        facts = {names.RUN: run_id, names.PIPELINE: pipeline}
        within = context.Context() if own else context.get_current()
        with (
            self._tracer.start_as_current_span(
                f"{names.SUBMIT} {pipeline}", within, attributes=facts, links=links
            ),
            self._tracer.start_as_current_span(
                f"{names.PUBLISH} {queue}", kind=SpanKind.PRODUCER, attributes=_of_publish(queue, run_id)
            ),
        ):
            yield structs.replace(trace_of(context.get_current()), link=back.link)

    def attempt(self, job: Job, queue: str) -> "AttemptSpan":
        """The span of an attempt that begins now."""
        return AttemptSpan(self._tracer, job, queue, self._worker)


class AttemptSpan:
    """The span of one attempt, and those of what is published from it.

    1. Code within `current` has it as its current span.
    2. `handler_ended` is when it ends; what the attempt has come to is known later.
    3. `followed`, `retried`, `buried`: the job that the message which follows is made of, with its place in the trace.
    4. `end` ends it, once nothing more follows.
    """

    __slots__ = ("_carried", "_context", "_ended_ns", "_job", "_open", "_outcome", "_span", "_tracer")

    def __init__(self, tracer: trace.Tracer, job: Job, queue: str, worker: str) -> None:
        carried = _NO_TRACE if job.trace is UNSET else job.trace
        within = context_of(carried)
        self._job = job
        self._tracer = tracer
        self._span = tracer.start_span(
            f"{names.PROCESS} {queue}",
            within,
            SpanKind.CONSUMER,
            _of_attempt(job, queue, worker),
            linked_to(carried.link),
        )
        self._context = trace.set_span_in_context(self._span, within)
        self._carried = trace_of(self._context)
        self._open: list[trace.Span] = []
        self._ended_ns: int | None = None
        self._outcome = ""

    @contextmanager
    def current(self) -> Iterator[None]:
        """Code in this block is in the span, and so is what it begins."""
        token = context.attach(self._context)
        try:
            yield
        finally:
            context.detach(token)

    @property
    def carried(self) -> TraceContext:
        """What a message carries that is created right in this span."""
        return self._carried

    def handler_ended(self) -> None:
        """The handler has come to its outcome."""
        self._ended_ns = time.time_ns()

    def decided(self, outcome: Outcome, decision: str) -> None:
        """The store took the outcome: "recorded"; or dropped it."""
        self._outcome = decision
        if decision == "recorded":
            self._outcome = _name_of(outcome)
        if isinstance(outcome, RetryLater | GiveUp):
            self._span.set_attribute(names.ERROR_TYPE, outcome.failure.kind)
            self._span.set_status(Status(StatusCode.ERROR, outcome.failure.text))

    def followed(self, following: Job, queue: str) -> Job:
        """The job that follows, created in a span of its own, which is open until this one ends."""
        return structs.replace(following, trace=self.published(queue, following.id))

    def published(self, queue: str, message_id: str = "", count: int = 0) -> TraceContext:
        """What a message to `queue` carries, or each of `count`."""
        facts: dict[str, str | int] = dict(_of_publish(queue, self._job.run_id))
        if message_id:
            facts[names.MESSAGE_ID] = message_id
        if count:
            facts[names.BATCH_COUNT] = count
        span = self._tracer.start_span(f"{names.PUBLISH} {queue}", self._context, SpanKind.PRODUCER, facts)
        self._open.append(span)
        return trace_of(trace.set_span_in_context(span, self._context))

    def retried(self, again: Job, after: float) -> Job:
        """The next attempt: created where this one was, with a link to this one."""
        self._span.add_event(names.RETRY, {names.DELAY: after})
        return structs.replace(again, trace=self._leading_here(again))

    def buried(self, job: Job, reason: str) -> Job:
        """The job as a dead letter, whose redrive leads back to this attempt."""
        self._span.add_event(names.DEAD_LETTERED, {names.REASON: reason})
        return structs.replace(job, trace=self._leading_here(job))

    def _leading_here(self, job: Job) -> TraceContext:
        created = self._carried if job.trace is UNSET or not job.trace.traceparent else job.trace
        return structs.replace(created, link=self._carried.traceparent)

    def end(self, why: str) -> None:
        """Nothing more follows. `why` is the outcome of an attempt that was not decided."""
        self._span.set_attribute(names.OUTCOME, self._outcome or why)
        self._span.end(self._ended_ns)
        for each in self._open:
            each.end()


def _of_attempt(job: Job, queue: str, worker: str) -> dict[str, str | int]:
    return {
        names.SYSTEM: names.LIBRARY,
        names.OPERATION_NAME: names.PROCESS,
        names.OPERATION_TYPE: names.PROCESS,
        names.DESTINATION: queue,
        names.MESSAGE_ID: job.id,
        names.CONVERSATION_ID: job.run_id,
        names.CLIENT_ID: worker,
        names.RUN: job.run_id,
        names.PIPELINE: job.pipeline,
        names.STAGE: job.stage,
        names.ATTEMPT: job.attempt,
    }


def _of_publish(queue: str, run_id: str) -> dict[str, str]:
    return {
        names.SYSTEM: names.LIBRARY,
        names.OPERATION_NAME: names.PUBLISH,
        names.OPERATION_TYPE: names.SEND,
        names.DESTINATION: queue,
        names.CONVERSATION_ID: run_id,
        names.RUN: run_id,
    }


def _name_of(outcome: Outcome) -> str:
    match outcome:
        case Done():
            return "done"
        case RetryLater(counted=True):
            return "retry"
        case RetryLater():
            return "outage"
        case _:
            return "gave_up"
