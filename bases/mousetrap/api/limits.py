"""Shows limits: who holds them, and who waits."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from mousetrap import shapes
from mousetrap.api.access import may_read
from mousetrap.api.known import PIPELINE_NAME, find_pipeline
from mousetrap.api.problems import NO_ACCESS, Kind, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import Services, WithServices
from mousetrap.pipeline import AtMost, Limit, Pipeline, Stage

router = APIRouter(tags=["queues"], route_class=Route)

#: Values of fields in one answer, of all limits together.
_MOST_VALUES = 1_000


@router.get(
    "/limits",
    dependencies=[may_read],
    responses=refusals(
        *NO_ACCESS,
        Kind.UNKNOWN_PIPELINE,
        Kind.PIPELINE_CONTRADICTED,
        Kind.INVALID_REQUEST,
        Kind.STORE_AWAY,
    ),
)
async def list_limits(
    services: WithServices,
    pipeline: Annotated[
        str | None, Query(pattern=PIPELINE_NAME, description="Only the limits of this one.")
    ] = None,
) -> tuple[shapes.Limit, ...]:
    """The limits of all known stages, or of one pipeline's: which jobs hold them, and how many wait."""
    known = (
        list(services.pipelines.values()) if pipeline is None else [await find_pipeline(pipeline, services)]
    )
    limited = [(each, stage, limit) for each in known for stage in each.stages for limit in stage.limits]
    waiting = await services.store.waiting_for_limits(
        sorted({place_of(each, stage) for each, stage, _ in limited})
    )
    shown: list[shapes.Limit] = []
    left = _MOST_VALUES
    for each, stage, limit in limited:
        place = place_of(each, stage)
        found = await _keys(services, place, limit, max(0, left))
        left -= len(found[0])
        shown.append(_shown(place, stage.queue, limit, waiting[place], found))
    return tuple(shown)


def place_of(pipeline: Pipeline, stage: Stage) -> str:
    """The stage of a limit, as the store has it."""
    return f"{pipeline.name}.{stage.name}"


async def waiting_by_queue(services: Services) -> dict[str, int]:
    """How many jobs wait for limits, by the queue of their stage, of all known stages that have one."""
    limited = [(each, stage) for each in services.pipelines.values() for stage in each.stages if stage.limits]
    waiting = await services.store.waiting_for_limits([place_of(*of) for of in limited])
    found: Counter[str] = Counter()
    for each, stage in limited:
        found[stage.queue] += waiting[place_of(each, stage)]
    return dict(found)


async def _keys(
    services: Services, place: str, limit: Limit, most: int
) -> tuple[Sequence[shapes.LimitKey], int]:
    """The limit's values that somebody waits for or holds, and how many are left out."""
    kind = "n" if isinstance(limit, AtMost) else "r"
    if limit.per is None:
        return [await services.store.limit_key(f"{place}:{kind}")], 0
    keys, more = await services.store.limit_keys(place, kind)
    found = await asyncio.gather(*map(services.store.limit_key, keys[:most]))
    # One that was held a moment ago may be no more.
    return [key for key in found if key.running or key.waiting], more + max(0, len(keys) - most)


def _shown(
    place: str, queue: str, limit: Limit, waiting: int, keys: tuple[Sequence[shapes.LimitKey], int]
) -> shapes.Limit:
    found, more = keys
    return shapes.Limit(
        stage=place,
        queue=queue,
        most=limit.most,
        every=None if isinstance(limit, AtMost) else limit.every,
        burst=limit.at_once,
        per=limit.per,
        fair=limit.fair,
        waiting=waiting,
        keys=tuple(found),
        more=more,
    )
