"""Waits for the end of an operation over HTTP."""

from typing import Any

import httpx

from support.clients import answered
from support.waiting import until


def ended(api: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    """The operation of an answer, once it has ended."""

    def end() -> dict[str, Any] | None:
        operation: dict[str, Any] = answered(api, "GET", answer.headers["Location"]).json()
        return operation if operation["state"] != "running" else None

    return until(end, "the operation has ended")
