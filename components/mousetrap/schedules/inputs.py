"""Makes the input of a tick's run."""

from typing import Any

import msgspec

from mousetrap.schedules.schedule import Schedule
from mousetrap.schedules.ticks import in_zone


def input_at(schedule: Schedule, tick_ms: int, default: bytes) -> bytes:
    """The input of a tick's run as JSON; empty for the contract's defaults."""
    body = default if schedule.input is None else msgspec.json.encode(schedule.input)
    if not schedule.tick_as:
        return body
    members: dict[str, Any] = msgspec.json.decode(body or b"{}", type=dict[str, Any])
    return msgspec.json.encode({**members, schedule.tick_as: in_zone(schedule, tick_ms)})
