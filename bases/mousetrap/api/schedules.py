"""Shows schedules, makes and changes them, and fires ticks by hand."""

from collections.abc import Callable, Container
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from pydantic import TypeAdapter

from mousetrap import shapes
from mousetrap.api.access import Operator, may_operate, may_read
from mousetrap.api.audit import Audit, WithAudit
from mousetrap.api.bodies import body_of, given_input, takes
from mousetrap.api.known import PIPELINE_NAME, find_pipeline
from mousetrap.api.problems import ABSENT, NO_ACCESS, Kind, Problem, refusals
from mousetrap.api.routes import Route
from mousetrap.api.schedule_bodies import Backfill, NewSchedule, Resume, ScheduleEdit
from mousetrap.api.schedule_shown import shown_schedule
from mousetrap.api.services import Services, WithSchedules, WithServices
from mousetrap.api.start import PRINTABLE, accepted_response, new_id
from mousetrap.pipeline import read
from mousetrap.scheduler import Schedules
from mousetrap.schedules import (
    Change,
    Record,
    Schedule,
    TooManyOwed,
    backfilled,
    created,
    edited,
    input_at,
    paused,
    resumed,
    run_now,
    ticks_between,
)
from mousetrap.submit_run import Accepted, run_id_of_key

_schedule = TypeAdapter(shapes.Schedule)

router = APIRouter(tags=["schedules"], route_class=Route)

Name = Annotated[str, Path(pattern=PIPELINE_NAME, examples=["nightly"])]
#: Of what one schedule is asked.
_OF_ONE = (*NO_ACCESS, Kind.UNKNOWN_SCHEDULE, Kind.INVALID_REQUEST, Kind.STORE_AWAY)
_CHANGING = refusals(
    *NO_ACCESS,
    Kind.UNKNOWN_SCHEDULE,
    Kind.SCHEDULE_IN_CODE,
    Kind.SCHEDULE_TAKEN,
    Kind.UNKNOWN_PIPELINE,
    Kind.PIPELINE_CONTRADICTED,
    Kind.BODY_TOO_SLOW,
    Kind.BODY_TOO_LARGE,
    Kind.INVALID_REQUEST,
    Kind.CONTRACT_BROKEN,
    Kind.TOO_MANY_SCHEDULES,
    *ABSENT,
)


@router.get(
    "/schedules",
    dependencies=[may_read],
    responses=refusals(*NO_ACCESS, Kind.INVALID_REQUEST, Kind.STORE_AWAY),
)
async def list_schedules(
    schedules: WithSchedules,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[
        str | None, Query(pattern=PIPELINE_NAME, description="`next` of the page before.")
    ] = None,
) -> shapes.SchedulePage:
    """Schedules by name: when each fires next, and what became of its last ticks."""
    now_ms = await schedules.now_ms()
    names = [name for name in await schedules.names() if after is None or name > after]
    records = await schedules.some(names[:limit])
    shown = tuple(shown_schedule(record, now_ms) for record in records)
    return shapes.SchedulePage(schedules=shown, next=names[limit - 1] if len(names) > limit else None)


@router.get(
    "/schedules/{name}",
    dependencies=[may_read],
    responses=refusals(*_OF_ONE),
)
async def show_schedule(name: Name, schedules: WithSchedules) -> shapes.Schedule:
    """A schedule: its next ticks, what became of the last ones, and why it does not go on."""
    return shown_schedule(_known(await schedules.get(name)), await schedules.now_ms())


@router.post(
    "/schedules",
    dependencies=[may_operate],
    status_code=201,
    response_model=shapes.Schedule,
    responses=_CHANGING,
    openapi_extra=takes(NewSchedule),
)
async def make_schedule(
    services: WithServices,
    audit: WithAudit,
    new: Annotated[NewSchedule, Depends(body_of(NewSchedule))],
    input: Annotated[bytes | None, Depends(given_input)],
) -> Response:
    """Makes a schedule; its first tick is after now. The input is checked by the pipeline's contract."""
    with audit.act("create_schedule", schedule=new.name) as act:
        schedule = new.schedule(input)
        await _check_input(schedule, services)
        by = partial(Change, audit.who, why=audit.reason)
        record = await services.schedules.create(lambda now_ms: created(schedule, "api", by(now_ms)))
        act.count = 1
    shown = shown_schedule(record, record.created_ms)
    headers = {"Location": f"/schedules/{record.name}"}
    return Response(_schedule.dump_json(shown), 201, headers, "application/json")


@router.patch(
    "/schedules/{name}",
    dependencies=[may_operate],
    responses=_CHANGING,
    openapi_extra=takes(ScheduleEdit),
)
async def change_schedule(
    name: Name,
    services: WithServices,
    audit: WithAudit,
    edit: Annotated[ScheduleEdit, Depends(body_of(ScheduleEdit))],
    input: Annotated[bytes | None, Depends(given_input)],
) -> shapes.Schedule:
    """Changes the members that are given. Other times count from now; what came due before is as it was."""
    with audit.act("change_schedule", schedule=name) as act:
        record = _made_here(await services.schedules.get(name))
        schedule = edit.applied(record.schedule, input)
        await _check_input(schedule, services)

        def change(record: Record, now_ms: int) -> Record:
            return edited(_made_here(record), edit.applied(record.schedule, input), _by(audit, now_ms))

        shown = await _shown(name, services.schedules, change)
        act.count = 1
    return shown


@router.delete(
    "/schedules/{name}",
    dependencies=[may_operate],
    status_code=204,
    responses=refusals(*_OF_ONE, Kind.SCHEDULE_IN_CODE),
)
async def remove_schedule(name: Name, services: WithServices, audit: WithAudit) -> None:
    """Removes a schedule; its runs go on. One that is declared in code is removed there, and here once it is orphaned."""
    schedules = services.schedules
    with audit.act("remove_schedule", schedule=name) as act:
        record = _known(await schedules.get(name))
        while not await schedules.remove(_removable(record, services.pipelines)):
            record = _known(await schedules.get(name))
        act.count = 1


@router.post(
    "/schedules/{name}/run",
    status_code=202,
    response_model=shapes.Accepted,
    responses=refusals(*NO_ACCESS, Kind.UNKNOWN_SCHEDULE, Kind.INVALID_REQUEST, *ABSENT),
)
async def run_schedule(
    name: Name,
    caller: Operator,
    services: WithServices,
    audit: WithAudit,
    key: Annotated[str | None, Header(alias="Idempotency-Key", pattern=PRINTABLE)] = None,
) -> Response:
    """Starts a run of a schedule now, beside its ticks, also while it is paused.

    It is kept with the schedule, and submitted within seconds: until then GET /runs/{id} does not know it.
    """
    run_id = run_id_of_key(caller.id, f"schedule|{name}", key) if key else new_id()
    with audit.act("run_schedule", schedule=name, run=run_id) as act:
        is_new = await services.store.get(run_id) is None
        if is_new:
            await _changed(name, services.schedules, lambda it, now_ms: _once(it, run_id, now_ms))
            await services.scheduler.carry_on(name)
        act.count = int(is_new)
    return accepted_response(Accepted(run_id, is_new))


@router.post(
    "/schedules/{name}/pause",
    dependencies=[may_operate],
    responses=refusals(*_OF_ONE),
)
async def pause_schedule(name: Name, schedules: WithSchedules, audit: WithAudit) -> shapes.Schedule:
    """Pauses a schedule: no tick of it fires. A second pause changes nothing."""
    with audit.act("pause", schedule=name) as act:
        shown = await _shown(name, schedules, lambda it, now_ms: paused(it, _by(audit, now_ms)))
        act.count = 1
    return shown


@router.post(
    "/schedules/{name}/resume",
    dependencies=[may_operate],
    responses=refusals(*_OF_ONE, Kind.BODY_TOO_SLOW),
    openapi_extra=takes(Resume),
)
async def resume_schedule(
    name: Name,
    schedules: WithSchedules,
    audit: WithAudit,
    how: Annotated[Resume, Depends(body_of(Resume))],
) -> shapes.Schedule:
    """Resumes a schedule: ticks after now fire, and with `make_up` what its policy wants of those that came meanwhile."""

    def act_on(record: Record, now_ms: int) -> Record:
        return resumed(record, _by(audit, now_ms), makes_up=how.make_up)

    with audit.act("resume", schedule=name, make_up=str(how.make_up).lower()) as act:
        shown = await _shown(name, schedules, act_on)
        act.count = 1
    return shown


@router.post(
    "/schedules/{name}/backfill",
    dependencies=[may_operate],
    status_code=202,
    responses=refusals(*_OF_ONE, Kind.BODY_TOO_SLOW),
    openapi_extra=takes(Backfill),
)
async def backfill_schedule(
    name: Name,
    schedules: WithSchedules,
    audit: WithAudit,
    span: Annotated[Backfill, Depends(body_of(Backfill))],
) -> shapes.Backfilled:
    """Fires the ticks of a span of the past, a thousand at most, also while it is paused. What ran already does not run again."""
    with audit.act("backfill", schedule=name, from_ms=str(span.from_ms), to_ms=str(span.to_ms)) as act:
        known = await _changed(name, schedules, lambda it, now_ms: _with_span(it, span, now_ms))
        until_ms = min(span.to_ms, await schedules.now_ms()) - 1
        ticks = sum(1 for _ in ticks_between(known.schedule, span.from_ms - 1, until_ms))
        act.count = ticks
    return shapes.Backfilled(schedule=name, ticks=ticks, owed=len(known.owed))


#: Makes of a record, at the store's time, what is to be kept of it.
Act = Callable[[Record, int], Record]


async def _changed(name: str, schedules: Schedules, act: Act) -> Record:
    try:
        return _known(await schedules.change(name, act))
    except TooManyOwed as error:
        raise Problem(Kind.INVALID_REQUEST, str(error), where="body") from None


async def _shown(name: str, schedules: Schedules, act: Act) -> shapes.Schedule:
    return shown_schedule(await _changed(name, schedules, act), await schedules.now_ms())


async def _check_input(schedule: Schedule, services: Services) -> None:
    """Raises Problem, or ContractBroken, where the pipeline would not take the schedule's input."""
    pipeline = await find_pipeline(schedule.pipeline, services)
    now_ms = await services.schedules.now_ms()
    body = input_at(schedule, now_ms, services.defaults.get(pipeline.name, b""))
    read(body or b"{}", pipeline.first.input)


def _known(record: Record | None) -> Record:
    if record is None:
        raise Problem(Kind.UNKNOWN_SCHEDULE, "check the name; GET /schedules has all of them")
    return record


def _made_here(record: Record | None) -> Record:
    """The record, if it may be changed here. Raises Problem."""
    known = _known(record)
    if known.origin != "api" and not (known.pause and known.pause.orphaned):
        raise Problem(
            Kind.SCHEDULE_IN_CODE,
            "change it there: the API's next start would undo it; here it can be paused",
        )
    return known


def _removable(record: Record, pipelines: Container[str]) -> Record:
    """The record, if it may be removed here, as that of a worker whose pipeline no one has any more. Raises Problem."""
    is_left = record.origin == "worker" and record.schedule.pipeline not in pipelines
    return record if is_left else _made_here(record)


def _by(audit: Audit, now_ms: int) -> Change:
    return Change(audit.who, now_ms, audit.reason)


def _once(record: Record, run_id: str, now_ms: int) -> Record:
    """With the run owed, unless it is, or was."""
    known = {owed.run_id for owed in record.owed} | {past.run_id for past in record.past}
    return record if run_id in known else run_now(record, run_id, now_ms)


def _with_span(record: Record, span: Backfill, now_ms: int) -> Record:
    if span.from_ms >= min(span.to_ms, now_ms):
        raise Problem(
            Kind.INVALID_REQUEST,
            "the span is empty: give a time before `to_ms`, and before now",
            where="body.from_ms",
        )
    return backfilled(record, span.from_ms, min(span.to_ms, now_ms))
