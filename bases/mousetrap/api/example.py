"""The tutorial's two paths, for the example pipeline; delete this file with the example."""

from typing import Any

from fastapi import APIRouter

from mousetrap.api import views
from mousetrap.api.access import Starter, may_read
from mousetrap.api.problems import CLOSED, NO_ACCESS, refusals
from mousetrap.api.routes import Route
from mousetrap.api.services import WithServices, WithStore
from mousetrap.api.start import submit
from mousetrap.earthquakes import EARTHQUAKES

router = APIRouter(tags=["example"], route_class=Route)


@router.post("/refresh", responses=refusals(*NO_ACCESS, *CLOSED))
async def refresh(_: Starter, services: WithServices) -> views.Refreshed:
    """Starts a run of the earthquakes pipeline on its defaults."""
    return views.Refreshed(run_id=(await submit(services, EARTHQUAKES, b"")).run_id)


@router.get("/", dependencies=[may_read], responses=refusals(*NO_ACCESS, "store-away"))
async def show_newest(store: WithStore) -> Any:
    """The newest summary of earthquakes; empty before there is one."""
    run = await store.latest(EARTHQUAKES.name)
    return run.result if run else {}
