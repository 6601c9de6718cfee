"""Cancels runs and repeats them, and shows what a repeat begins with."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from mousetrap import shapes
from mousetrap.api.access import Operator, may_operate, may_read
from mousetrap.api.audit import WithAudit
from mousetrap.api.bodies import body_of, given_input, takes
from mousetrap.api.known import RUN_ID, KnownRun, find_pipeline, unknown_run
from mousetrap.api.problems import CLOSED, NO_ACCESS, Kind, Problem, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithServices, WithStore
from mousetrap.api.start import PRINTABLE, accepted_in_time, accepted_response, new_id
from mousetrap.jobs import encode
from mousetrap.shapes import RunState
from mousetrap.submit_run import RerunImpossible, run_id_of_key

router = APIRouter(tags=["runs"], route_class=Route)


class Rerun(BaseModel):
    """Where a re-run begins, and with what."""

    model_config = ConfigDict(extra="forbid")

    begin: Annotated[
        str,
        Field(
            alias="from",
            max_length=64,
            description="`start`, `failed` (the stage that gave up), or a stage's name.",
        ),
    ] = "start"
    input: Annotated[Any, Field(description="Instead of the stage's former input.")] = None


@router.delete(
    "/runs/{run_id}",
    dependencies=[may_operate],
    responses=refusals(*NO_ACCESS, Kind.UNKNOWN_RUN, Kind.RUN_ENDED, Kind.INVALID_REQUEST, Kind.STORE_AWAY),
)
async def cancel_run(
    run_id: Annotated[str, Path(pattern=RUN_ID)], store: WithStore, audit: WithAudit
) -> shapes.Cancelled:
    """Cancels a run: no attempt of it begins after this, and those that run are stopped. Repeating it changes nothing.

    A run that has failed can be cancelled while other children of it go on.
    """
    with audit.act("cancel", run=run_id) as done:
        state = await store.cancel(run_id)
        if state is None:
            raise unknown_run()
        if state != RunState.CANCELLED:
            raise Problem(Kind.RUN_ENDED, f"there is nothing to cancel: the run is {state}", state=state)
        done.count = 1
    return shapes.Cancelled(run_id=run_id, state=state)


@router.get(
    "/runs/{run_id}/jobs/{stage}",
    dependencies=[may_read],
    response_class=Response,
    responses={
        200: {"content": {"application/json": {}}, "description": "The job, with its input as `payload`."},
        **refusals(
            *NO_ACCESS,
            Kind.UNKNOWN_PIPELINE,
            Kind.UNKNOWN_RUN,
            Kind.INVALID_REQUEST,
            Kind.RERUN_IMPOSSIBLE,
            Kind.STORE_AWAY,
        ),
    },
)
async def show_job(
    run: KnownRun,
    stage: Annotated[str, Path(max_length=64, description="A stage's name, `start` or `failed`.")],
    services: WithServices,
) -> Response:
    """The job that a run had at a stage, as its message carried it: the input that a re-run from there would begin with."""
    await find_pipeline(run.pipeline, services)
    try:
        job = await services.submitter.job_of(run, stage)
    except RerunImpossible as error:
        raise Problem(Kind.RERUN_IMPOSSIBLE, str(error)) from error
    return Response(encode(job.as_json()), media_type="application/json")


@router.post(
    "/runs/{run_id}/rerun",
    status_code=202,
    response_model=shapes.Accepted,
    openapi_extra=takes(Rerun),
    responses=refusals(
        *NO_ACCESS,
        *(
            Kind.UNKNOWN_PIPELINE,
            Kind.PIPELINE_CONTRADICTED,
            Kind.UNKNOWN_RUN,
            Kind.BODY_TOO_SLOW,
            Kind.RUN_CONFLICT,
            Kind.RERUN_IMPOSSIBLE,
        ),
        *(Kind.BODY_TOO_LARGE, Kind.INVALID_REQUEST, Kind.CONTRACT_BROKEN),
        *CLOSED,
    ),
)
async def rerun_run(
    caller: Operator,
    run: KnownRun,
    services: WithServices,
    audit: WithAudit,
    again: Annotated[Rerun, Depends(body_of(Rerun))],
    body: Annotated[bytes | None, Depends(given_input)],
    key: Annotated[str | None, Header(alias="Idempotency-Key", pattern=PRINTABLE)] = None,
) -> Response:
    """Repeats a run as a new one, all of it or from a stage on, with the stage's former input or another.

    The old run stays as it is. A repeat with the same Idempotency-Key returns the first re-run.
    """
    pipeline = await find_pipeline(run.pipeline, services)
    # Not the id that the key alone gives: the same key may have started the run, too.
    run_id = run_id_of_key(caller.id, f"{pipeline.name}|rerun|{run.id}", key) if key else new_id()
    with audit.act("rerun", run=run.id, begin=again.begin) as done:
        services.intake.check(pipeline, len(body) if body else 0)
        late = (
            f"the re-run is not accepted yet, and goes on: large blobs take time to copy. Ask GET /runs/{run_id} until it is "
            "there; where you repeat this instead, send the same Idempotency-Key"
        )
        submission = services.submitter.rerun(run, run_id=run_id, begin=again.begin, body=body)
        try:
            accepted = await accepted_in_time(submission, pipeline, run_id, late)
        except RerunImpossible as error:
            raise Problem(Kind.RERUN_IMPOSSIBLE, str(error)) from error
        done.count = int(accepted.new)
        done.facts["new_run"] = accepted.run_id
    return accepted_response(accepted)
