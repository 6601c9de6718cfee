"""Publishes to topics: starts a run of each pipeline that takes one."""

import logging
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
from fastapi import APIRouter, Header, Path, Query, Request, Response

from mousetrap import shapes
from mousetrap.api.access import Starter
from mousetrap.api.errors import problem_of
from mousetrap.api.options import read_options, utc_now
from mousetrap.api.problems import CLOSED, NO_ACCESS, Kind, Problem, absence, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import Services, WithServices
from mousetrap.api.start import PRINTABLE, TermsQuery, checked_input, in_time, new_id
from mousetrap.jobs import PublishUnconfirmed, QueueUnreachable, StoreUnreachable
from mousetrap.submit_run import Accepted, OptionInvalid, Publication, Submission

_LATE = "broker and store are too slow: its runs may be accepted or not"
_NO_QUERY = TermsQuery()

_log = logging.getLogger("mousetrap.api")

router = APIRouter(tags=["runs"], route_class=Route)


@router.post(
    "/topics/{topic}",
    status_code=202,
    response_model=shapes.Published,
    responses=refusals(
        *NO_ACCESS,
        Kind.NO_TAKER,
        Kind.PIPELINE_CONTRADICTED,
        Kind.BODY_TOO_SLOW,
        Kind.RUN_CONFLICT,
        Kind.BODY_TOO_LARGE,
        Kind.INVALID_REQUEST,
        Kind.CONTRACT_BROKEN,
        *CLOSED,
    ),
)
async def publish(
    caller: Starter,
    topic: Annotated[str, Path(examples=["orders.created"])],
    services: WithServices,
    request: Request,
    query: Annotated[TermsQuery, Query()] = _NO_QUERY,
    key: Annotated[str | None, Header(alias="Idempotency-Key", pattern=PRINTABLE)] = None,
) -> Response:
    """Starts a run of each pipeline that takes the topic; the body is the input of each.

    A pipeline takes topics by patterns, as `orders.*`: `GET /pipelines` shows them. The body must fit the contract of each, else none
    is started. A topic that no pipeline takes is a 404 with the patterns that are taken.

    Accepted means that every one of these runs is kept. An error after which some may be has their ids, and the `key` to repeat with:
    the same Idempotency-Key and topic give the first runs, and start those that are missing.
    """
    body = await request.body()
    try:
        publication = Publication(
            topic=topic,
            body=b"" if body == b"{}" else body,
            owner=caller.id,
            key=key or new_id(),
            is_new=key is None,
            options=read_options(query, "query", utc_now()),
        )
    except OptionInvalid as error:
        raise Problem(Kind.INVALID_REQUEST, str(error), where=f"query.{error.option}") from None
    takers = await services.pipelines.look_for_takers(topic, services.registry)
    runs = [publication.submission(each, checked_input(services, each, publication.body)) for each in takers]
    results = await _submitted(services, publication, runs)
    accepted = _Accepted(publication.key, runs, results)
    if failed := [it for it in results if isinstance(it, Exception)]:
        raise accepted.problem(failed[0], local=request.app.state.access.local_only)
    _log.info("accepted what was published", extra={"topic": topic, "runs": [it.run_id for it in runs]})
    return accepted.response(topic)


async def _submitted(
    services: Services, publication: Publication, runs: Sequence[Submission]
) -> list[Accepted | Exception]:
    """What became of each run. Raises Problem where that takes too long."""
    submitting = await in_time(services.submitter.submit_many(runs))
    if not submitting.done():
        raise _repeated(
            absence(Kind.UNCONFIRMED, _LATE, "broker"), publication.key, [it.run_id for it in runs]
        )
    return submitting.result()


class _Accepted(NamedTuple):
    """What was published, as far as it was accepted."""

    key: str
    runs: Sequence[Submission]
    results: Sequence[Accepted | Exception]

    def response(self, topic: str) -> Response:
        """Where its runs are."""
        shown = tuple(
            shapes.PublishedRun(
                pipeline=run.pipeline.name, run_id=run.run_id, url=f"/runs/{run.run_id}", new=it.new
            )
            for run, it in zip(self.runs, self.results, strict=True)
            if isinstance(it, Accepted)
        )
        headers = {} if any(it.new for it in shown) else {"Idempotent-Replayed": "true"}
        body = msgspec.json.encode(shapes.Published(topic=topic, key=self.key, runs=shown))
        return Response(body, 202, headers, "application/json")

    def problem(self, error: Exception, *, local: bool) -> Exception:
        """The problem of the first that was not accepted, with the ids of those that are there or may be."""
        problem = problem_of(error, local=local)
        if problem is None:
            return error
        pairs = zip(self.runs, self.results, strict=True)
        there = [run.run_id for run, it in pairs if isinstance(it, Accepted) or _may_run(it)]
        return _repeated(problem, self.key, there)


def _may_run(error: Exception) -> bool:
    return isinstance(error, QueueUnreachable | StoreUnreachable | PublishUnconfirmed)


def _repeated(problem: Problem, key: str, run_ids: Sequence[str]) -> Problem:
    advice = f"{problem.detail}. Publish the same again under the key {key}, which is safe: it starts what is missing"
    return Problem(
        problem.kind, advice, headers=problem.headers, key=key, run_ids=list(run_ids), **problem.more
    )
