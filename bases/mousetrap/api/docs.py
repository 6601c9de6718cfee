"""Serves the descriptions of the API and its queues, without the internet."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

from mousetrap.api.access import may_read
from mousetrap.api.asyncapi import asyncapi
from mousetrap.api.routes import Route
from mousetrap.api.services import WithServices

#: Where the package has its files.
_FILES = Path(str(files("fastapi_offline"))) / "static"
#: Addresses without a slash before them: a proxy may serve all of this under a path of its own.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mousetrap</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript; <a href="openapi.json">openapi.json</a> has the same content.</noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
#: Apart from the page, which may hold no script. No other server is asked to validate the description.
_START = """SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
"""

router = APIRouter(include_in_schema=False, route_class=Route)


@router.get("/docs")
async def show_docs() -> HTMLResponse:
    """The page."""
    return HTMLResponse(_PAGE)


@router.get("/docs/start.js")
async def show_start() -> Response:
    """What the page runs."""
    return Response(_START, media_type="text/javascript")


@router.get("/docs/swagger-ui-bundle.js")
async def show_script() -> FileResponse:
    """What draws the description."""
    return FileResponse(_FILES / "swagger-ui-bundle.js", media_type="text/javascript")


@router.get("/docs/swagger-ui.css")
async def show_styles() -> FileResponse:
    """How it looks."""
    return FileResponse(_FILES / "swagger-ui.css", media_type="text/css")


@router.get("/openapi.json")
async def show_description(request: Request) -> JSONResponse:
    """The description itself."""
    return JSONResponse(request.app.openapi())


@router.get("/asyncapi.json", dependencies=[may_read])
async def show_queues_and_messages(request: Request, services: WithServices) -> JSONResponse:
    """All queues and their messages: names that no caller without a key needs."""
    app: FastAPI = request.app
    document = asyncapi(services.pipelines, app.version, on_rabbitmq=app.state.on_rabbitmq)
    return JSONResponse(document)
