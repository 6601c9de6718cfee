"""Shows the audit trail."""

from typing import Annotated

from fastapi import APIRouter, Query

from mousetrap.api.access import may_operate
from mousetrap.api.problems import NO_ACCESS, Kind, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithTrail
from mousetrap.shapes import AuditPage

_PLACE = r"^[0-9]{1,15}-[0-9]{1,10}$"

router = APIRouter(tags=["operations"], route_class=Route)


@router.get(
    "/audit",
    dependencies=[may_operate],
    responses=refusals(*NO_ACCESS, Kind.INVALID_REQUEST, Kind.STORE_AWAY),
)
async def list_acts(
    trail: WithTrail,
    act: Annotated[str | None, Query(max_length=64, description="Only acts of this kind: redrive, …")] = None,
    who: Annotated[str | None, Query(max_length=200, description="Only those of this key's id.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(pattern=_PLACE, description="`next` of the page before.")] = None,
) -> AuditPage:
    """Acts that changed something, newest first, of every API of the store: the newest ten thousand are kept.

    The servers' logs have all of them, and the refused callers; an act that was done while the store was away can be there alone.
    """
    return await trail.page(limit=limit, after=after, act=act, who=who)
