"""Asks the API about schedules, and changes them."""

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from mousetrap.api_client.filters import without_empty
from mousetrap.api_client.reply import Reply
from mousetrap.shapes import Accepted, Backfilled, Schedule, SchedulePage


class _Requests(Protocol):
    def __call__(self, method: str, path: str, **options: Any) -> bytes: ...


class SchedulesApi:
    """The part of the API that is about schedules; `request` sends one request."""

    def __init__(self, request: _Requests) -> None:
        self._request = request

    def page(self, *, limit: int, after: str | None = None) -> Reply[SchedulePage]:
        """A page of schedules, by name."""
        params = without_empty({"limit": str(limit), "after": after})
        return Reply(self._request("GET", "/schedules", params=params), SchedulePage)

    def one(self, name: str) -> Reply[Schedule]:
        """One schedule."""
        return Reply(self._request("GET", _path(name)), Schedule)

    def make(self, name: str, members: Mapping[str, Any]) -> Reply[Schedule]:
        """Makes a schedule with these members."""
        content = msgspec.json.encode({"name": name, **members})
        return Reply(self._request("POST", "/schedules", content=content), Schedule)

    def change(self, name: str, members: Mapping[str, Any]) -> Reply[Schedule]:
        """Changes these members of a schedule."""
        return Reply(self._request("PATCH", _path(name), content=msgspec.json.encode(members)), Schedule)

    def remove(self, name: str) -> None:
        """Removes a schedule."""
        self._request("DELETE", _path(name))

    def run(self, name: str) -> Reply[Accepted]:
        """Starts a run of it now."""
        return Reply(self._request("POST", f"{_path(name)}/run"), Accepted)

    def pause(self, name: str) -> Reply[Schedule]:
        """Pauses it."""
        return Reply(self._request("POST", f"{_path(name)}/pause"), Schedule)

    def resume(self, name: str, *, make_up: bool) -> Reply[Schedule]:
        """Resumes it; with `make_up` ticks that came meanwhile count as missed ones."""
        content = msgspec.json.encode({"make_up": make_up})
        return Reply(self._request("POST", f"{_path(name)}/resume", content=content), Schedule)

    def backfill(self, name: str, *, from_ms: int, to_ms: int) -> Reply[Backfilled]:
        """Fires the ticks of a span of the past."""
        content = msgspec.json.encode({"from_ms": from_ms, "to_ms": to_ms})
        return Reply(self._request("POST", f"{_path(name)}/backfill", content=content), Backfilled)


def _path(name: str) -> str:
    return f"/schedules/{quote(name, safe='').replace('.', '%2E')}"
