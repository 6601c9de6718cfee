"""Serves the API as deployed, with an empty route more."""

import importlib
import sys
from typing import Any

from fastapi import FastAPI

from mousetrap.api import create_app, main
from mousetrap.settings import Settings

EMPTY = "/empty"


def with_an_empty_route(settings: Settings, *given: Any, **more: Any) -> FastAPI:
    """The API, and the least that its framework can do."""
    app = create_app(settings, *given, **more)

    @app.post(EMPTY)
    async def empty() -> None: ...

    return app


if __name__ == "__main__":
    # So that server, log and settings are those of the program itself.
    importlib.import_module("mousetrap.api.main").create_app = with_an_empty_route  # type: ignore[attr-defined]
    sys.exit(main())
