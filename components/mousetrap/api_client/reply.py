"""Holds the API's reply, and decodes it into a value."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from mousetrap.api_client.errors import CommandFailed

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Reply(Generic[Value]):
    """A reply of the API: `json` is complete, `value` has the fields that this version knows."""

    json: bytes
    kind: type[Value]

    @property
    def value(self) -> Value:
        """Raises CommandFailed for JSON that this version cannot read."""
        return decoded(self.json, self.kind)


def decoded(body: bytes, kind: type[Value]) -> Value:
    """Raises CommandFailed for JSON that this version cannot read."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise CommandFailed(f"this version cannot read the API's reply: {error}") from error
