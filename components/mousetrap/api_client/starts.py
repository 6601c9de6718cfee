"""Describes runs to start, and what became of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from mousetrap.api_client.filters import without_empty
from mousetrap.api_client.problems import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """The options of a run to start, as the API takes them."""

    #: Idempotency key: the same key and input give the first run.
    unique: str | None = None
    #: The id that the run is to have. Not together with `unique`.
    id: str | None = None
    #: Seconds before which no job of it is begun.
    delay: float | None = None
    #: The same as a time: ISO 8601 with an offset. Not together with `delay`.
    at: str | None = None
    #: Seconds after which no job of it is begun any more.
    expires_in: float | None = None
    tags: tuple[str, ...] = ()
    #: 0 to 9, the highest of which goes first; None for the default.
    priority: int | None = None

    def params(self) -> Mapping[str, Any]:
        """Those that a query has, by their names there."""
        return without_empty(
            {
                "run_id": self.id,
                "delay": self.delay,
                "at": self.at,
                "expires_in": self.expires_in,
                "tags": self.tags,
                "priority": self.priority,
            }
        )


class BatchReply(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one line of a batch."""

    #: From 1; blank lines count, and have no reply.
    line: int
    run_id: str = ""
    new: bool = False
    problem: Problem | None = None
    json: bytes = b""

    @classmethod
    def read(cls, line: bytes) -> Self:
        """A line of the API's answer."""
        return msgspec.structs.replace(msgspec.json.decode(line, type=cls), json=line)
