"""Begins operations, shows them, and stops them."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from pydantic import TypeAdapter

from mousetrap.api.access import may_operate, may_read
from mousetrap.api.audit import Audit, WithAudit
from mousetrap.api.bodies import body_of, takes
from mousetrap.api.filters import Begun, CancelRuns, RerunRuns
from mousetrap.api.known import RUN_ID
from mousetrap.api.problems import ABSENT, NO_ACCESS, Kind, Problem, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import Services, WithOperations, WithServices, WithStore
from mousetrap.api.start import PRINTABLE, new_id
from mousetrap.operations import Operations, Plan
from mousetrap.shapes import Operation, OperationKind, OperationPage, OperationState, RunPage
from mousetrap.submit_run import run_id_of_key

_PLACE = r"^[0-9]{13}:[A-Za-z0-9_-]{1,64}$"
_operation = TypeAdapter(Operation)
#: The documentation of the errors of what begins an operation.
BEGINNING = refusals(
    *NO_ACCESS,
    Kind.BODY_TOO_SLOW,
    Kind.BODY_TOO_LARGE,
    Kind.INVALID_REQUEST,
    Kind.NOTHING_SELECTED,
    Kind.OPERATION_CONFLICT,
    Kind.TOO_MANY_OPERATIONS,
    *ABSENT,
)
#: For the signatures of routes that begin one.
OperationKey = Annotated[str | None, Header(alias="Idempotency-Key", pattern=PRINTABLE)]

router = APIRouter(tags=["operations"], route_class=Route)


@router.post(
    "/runs/cancel",
    dependencies=[may_operate],
    status_code=202,
    response_model=Operation,
    responses=BEGINNING,
    openapi_extra=takes(CancelRuns),
)
async def cancel_runs(
    services: WithServices,
    filter: Annotated[CancelRuns, Depends(body_of(CancelRuns))],
    audit: WithAudit,
    key: OperationKey = None,
) -> Response:
    """Cancels the runs that a filter selects now; without a state, those that have not ended.

    This begins an operation, which goes on in the server: GET /operations/{id} shows how far it is.
    """
    return await begin_operation("cancel", filter, services, audit, key)


@router.post(
    "/runs/rerun",
    dependencies=[may_operate],
    status_code=202,
    response_model=Operation,
    responses=BEGINNING,
    openapi_extra=takes(RerunRuns),
)
async def rerun_runs(
    services: WithServices,
    filter: Annotated[RerunRuns, Depends(body_of(RerunRuns))],
    audit: WithAudit,
    key: OperationKey = None,
) -> Response:
    """Repeats the runs that a filter selects now, each as a new one; without a state, those that have ended.

    This begins an operation, which goes on in the server and repeats no run twice: GET /operations/{id} shows how far it is.
    Send an Idempotency-Key where you may repeat the request itself.
    """
    return await begin_operation("rerun", filter, services, audit, key)


@router.get(
    "/operations",
    dependencies=[may_read],
    responses=refusals(*NO_ACCESS, Kind.INVALID_REQUEST, Kind.STORE_AWAY),
)
async def list_operations(
    operations: WithOperations,
    state: Annotated[OperationState | None, Query(description="Only those in this state now.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(pattern=_PLACE, description="`next` of the page before.")] = None,
) -> OperationPage:
    """Operations, newest first: the newest thousand, for as long as runs are remembered."""
    return await operations.page(limit=limit, after=after, state=state)


@router.get(
    "/operations/{operation_id}",
    dependencies=[may_read],
    responses=refusals(*NO_ACCESS, Kind.UNKNOWN_OPERATION, Kind.INVALID_REQUEST, Kind.STORE_AWAY),
)
async def show_operation(
    operation_id: Annotated[str, Path(pattern=RUN_ID)], operations: WithOperations
) -> Operation:
    """An operation: what it is to do, by whom and why, and how far it is."""
    return await _known(operation_id, operations)


@router.get(
    "/operations/{operation_id}/runs",
    dependencies=[may_read],
    responses=refusals(*NO_ACCESS, Kind.UNKNOWN_OPERATION, Kind.INVALID_REQUEST, Kind.STORE_AWAY),
)
async def list_operation_runs(
    operation_id: Annotated[str, Path(pattern=RUN_ID)], operations: WithOperations, store: WithStore
) -> RunPage:
    """The first hundred runs that an operation acted on, as they are now; of a re-run the new ones. There is no next page."""
    await _known(operation_id, operations)
    found = await store.lines(await operations.runs(operation_id))
    return RunPage(runs=tuple(run for run in found if run is not None), next=None)


@router.post(
    "/operations/{operation_id}/stop",
    dependencies=[may_operate],
    responses=refusals(
        *NO_ACCESS, Kind.UNKNOWN_OPERATION, Kind.OPERATION_ENDED, Kind.INVALID_REQUEST, Kind.STORE_AWAY
    ),
)
async def stop_operation(
    operation_id: Annotated[str, Path(pattern=RUN_ID)], operations: WithOperations, audit: WithAudit
) -> Operation:
    """Stops an operation: within seconds it tries no more targets. What it did stays. Repeating it changes nothing."""
    with audit.act("stop", operation=operation_id) as act:
        state = await operations.end(operation_id, "stopped", int(time.time() * 1000))
        operation = await _known(operation_id, operations)
        if state != "stopped":
            raise Problem(
                Kind.OPERATION_ENDED, f"there is nothing to stop: the operation is {state}", state=state
            )
        act.count = 1
    return operation


async def begin_operation(
    kind: OperationKind, filter: Begun, services: Services, audit: Audit, key: str | None
) -> Response:
    """Begins an operation, or finds the one that this caller began with this key."""
    operation_id = run_id_of_key(audit.who, f"operation|{kind}", key) if key else new_id()
    plan = Plan(
        kind=kind,
        filter=filter.chosen(),
        begin=filter.begin,
        rate=filter.rate,
        limit=filter.limit or 0,
        who=audit.who,
        reason=audit.reason,
        created_ms=int(time.time() * 1000),
    )
    with audit.act(kind, filter=filter.audited()) as act:
        is_known = key is not None and await services.operations.get(operation_id) is not None
        created = not is_known and await services.carrier.begin(operation_id, plan)
        operation = await _known(operation_id, services.operations)
        if not created and not await _is_same(plan, services.operations, operation_id):
            raise Problem(Kind.OPERATION_CONFLICT, "send another Idempotency-Key with another filter")
        act.outcome = "done" if operation.state == "done" else "accepted"
        act.count = "unknown" if operation.finding else operation.matched
        act.facts["operation"] = operation_id
    headers = {
        "Location": f"/operations/{operation_id}",
        **({} if created else {"Idempotent-Replayed": "true"}),
    }
    return Response(_operation.dump_json(operation), 202, headers, "application/json")


async def _is_same(plan: Plan, operations: Operations, operation_id: str) -> bool:
    """Whether the operation of this id was asked to do the same."""
    first = await operations.plan(operation_id)
    return first is not None and (first.filter, first.begin) == (plan.filter, plan.begin)


async def _known(operation_id: str, operations: Operations) -> Operation:
    operation = await operations.get(operation_id)
    if operation is None:
        raise Problem(
            Kind.UNKNOWN_OPERATION, "check the id; an operation is forgotten some days after its last change"
        )
    return operation
