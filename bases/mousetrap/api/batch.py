"""Starts many runs by one request, a line each."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from mousetrap.api.access import Starter
from mousetrap.api.batch_line import LINE_SCHEMA, refused_line
from mousetrap.api.batch_runs import BatchRuns
from mousetrap.api.known import KnownPipeline
from mousetrap.api.lines import Line, Lines
from mousetrap.api.middleware import expect_stream
from mousetrap.api.problems import NO_ACCESS, Kind, Problem, refusals
from mousetrap.api.room import Room
from mousetrap.api.routes import Route
from mousetrap.api.services import WithServices
from mousetrap.api.stopping import until_stopped
from mousetrap.api.unsent import Unsent

#: Lines of a batch, blank ones among them.
MOST_LINES = 10_000
#: Batches at once: one keeps the process busy, and each may hold what its caller has not read.
_MOST_BATCHES = 8
#: Of one key: a slow body keeps its place for ten minutes.
_MOST_OF_A_KEY = 2
#: Lines that are started together, and such groups under way.
_GROUP_LINES, _GROUPS = 256, 2
#: Answers that wait for the caller, in bytes; above it no line is read. Many clients read only after they have sent all: the
#: usual answers to ten thousand lines are 1.5 MB.
_MOST_UNSENT = 8_388_608
_MEDIA = "application/x-ndjson"

_log = logging.getLogger(__name__)
router = APIRouter(tags=["runs"], route_class=Route)


def room_for_batches() -> Room:
    """For a few batches at once."""
    advice = "send it again when one of them has ended"
    return Room(_MOST_BATCHES, Kind.TOO_MANY_BATCHES, advice, _MOST_OF_A_KEY)


@router.post(
    "/pipelines/{pipeline}/batch",
    response_class=Response,
    openapi_extra={"requestBody": {"content": {_MEDIA: {"schema": LINE_SCHEMA}}}},
    responses={
        200: {
            "description": "A line for each line, in order: the run, or the problem that it met.",
            "content": {_MEDIA: {}},
        },
        **refusals(
            *NO_ACCESS,
            Kind.UNKNOWN_PIPELINE,
            Kind.PIPELINE_CONTRADICTED,
            Kind.BODY_TOO_SLOW,
            Kind.STORE_AWAY,
            Kind.TOO_MANY_BATCHES,
            Kind.STOPPING,
        ),
    },
)
async def start_batch(
    caller: Starter, pipeline: KnownPipeline, services: WithServices, request: Request
) -> Response:
    """Starts up to 10,000 runs: each line of the body is `{"input": …}`, and answered by a line, in order.

    A line may have `id` or `unique` (an idempotency key), `delay` or `at`, `expires_in`, `priority` and `tags`, as a single run has. The answer to line n is
    `{"line": n, "run_id": …, "new": true, "url": …}` or `{"line": n, "run_id": …, "problem": …}`; blank lines have none. A line
    that is refused stops no other; while broker or store is away, one line a second is tried, and after a few seconds the others
    are `not-tried`: nothing of them is kept. What was accepted stays accepted: to send a refused line again is safe with its
    `run_id` as `id`, and to send all again where they have `id` or `unique`. A last line with a problem and no
    answers after it means that this line and what follows was not read.
    """
    most_bytes = request.app.state.max_body
    request.app.state.batches.check(caller.id)
    expect_stream(request.scope)
    runs = BatchRuns(services, pipeline, caller.id, most_bytes)
    return _Answers(request, caller.id, runs, Lines(most_bytes))


class _Answers(Response):
    """Reads lines, starts runs and writes answers at the same time."""

    media_type = _MEDIA

    def __init__(self, request: Request, key: str, runs: BatchRuns, lines: Lines) -> None:
        self.status_code, self.background = 200, None
        self.init_headers()
        self._request = request
        self._key = key
        self._runs = runs
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises Problem where the body ends badly before its first line has."""
        state = self._request.app.state
        with state.batches.one_more(self._key):
            unsent = Unsent(send, {"status": 200, "headers": self.raw_headers}, _MOST_UNSENT)
            outcome = "done"
            try:
                await self._answer_all(unsent, local=state.access.local_only)
                await unsent.complete()
            except ClientDisconnect:
                outcome = "the caller left"
            except Problem as problem:
                outcome = problem.kind
                raise
            finally:
                await unsent.end()
                facts = {**self._runs.facts, "outcome": outcome}
                _log.info("started the runs of a batch", extra=facts)

    async def _answer_all(self, unsent: Unsent, *, local: bool) -> None:
        async def answer(group: Sequence[Line], after: asyncio.Task[None] | None) -> None:
            answers = await self._runs.start(group, local=local)
            if after is not None:
                await after
            await unsent.put(answers)

        answering: deque[asyncio.Task[None]] = deque()
        try:
            async for group in self._groups():
                after = answering[-1] if answering else None
                answering.append(asyncio.create_task(answer(group, after)))
                if len(answering) > _GROUPS:
                    await answering.popleft()
        except Problem as problem:
            if self._lines.count == 0:
                raise
            last = refused_line(min(self._lines.count, MOST_LINES) + 1, problem)
        else:
            last = b""
        finally:
            # Those of a caller who left as well: they are work, and keep their place until it is done.
            await asyncio.gather(*answering)
        await unsent.put(last)

    async def _groups(self) -> AsyncIterator[Sequence[Line]]:
        """The lines as they come. Raises Problem where the rest of the body is not read, and ClientDisconnect."""
        stopping: asyncio.Event = self._request.app.state.stopping
        async for part in until_stopped(stopping, self._request.stream()):
            lines = self._lines.feed(part)
            for at in range(0, len(lines), _GROUP_LINES):
                yield _allowed(lines[at : at + _GROUP_LINES])
            if self._lines.count > MOST_LINES:
                raise Problem(
                    Kind.TOO_MANY_LINES, f"send the lines from {MOST_LINES + 1} on as another batch"
                )
        if stopping.is_set():
            raise Problem(Kind.STOPPING, "send the lines from here on again, to the server that follows")
        yield _allowed(self._lines.end())


def _allowed(lines: Sequence[Line]) -> Sequence[Line]:
    return [line for line in lines if line.number <= MOST_LINES]
