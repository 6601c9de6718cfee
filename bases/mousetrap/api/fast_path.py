"""Starts a run without the framework's gathering of arguments."""

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response

from mousetrap import shapes
from mousetrap.api.access import caller_of
from mousetrap.api.routes import Route
from mousetrap.api.services import Services
from mousetrap.api.start import PRINTABLE, REFUSALS, start_run
from mousetrap.api_keys import Scope

_printable = re.compile(PRINTABLE)


class FastPath(Route):
    """The route of `start_run`. Gathering its arguments took the framework longer than starting a run takes.

    It serves a request without a query, for a known pipeline, with a printable key or none. The framework serves all others,
    and refuses them where needed; it also describes the route. A test compares the responses of both.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The short way where it is enough, else the framework's."""
        by_framework = super().get_route_handler()

        async def handle(request: Request) -> Response:
            services: Services = request.app.state.services
            pipeline = services.pipelines.get(request.path_params["pipeline"])
            key = request.headers.get("idempotency-key")
            unusual = request.scope["query_string"] or not (key is None or _printable.fullmatch(key))
            if unusual or pipeline is None:
                return await by_framework(request)
            caller = caller_of(request, Scope.RUN)
            return await start_run(caller, pipeline, services, request, key)

        return handle


router = APIRouter(tags=["runs"], route_class=FastPath)
router.post(
    "/pipelines/{pipeline}/runs", status_code=202, response_model=shapes.Accepted, responses=REFUSALS
)(start_run)
