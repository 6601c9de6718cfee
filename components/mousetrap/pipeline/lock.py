"""A lock that jobs hold while they run."""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec

OnConflict = Literal["wait", "skip", "fail", "dead-letter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """One job at a time, among all stages that name the same lock, or for each value of one field of their input.

    Raises ValueError for an unknown `on_conflict`.
    """

    name: str
    #: The field of the input whose value selects the lock; None for one lock.
    by: str | None = None
    #: What a job does that meets a holder: come again later, end its run as cancelled, fail this attempt, or be given up.
    on_conflict: OnConflict = "wait"

    def __post_init__(self) -> None:
        if self.on_conflict not in get_args(OnConflict):
            known = ", ".join(get_args(OnConflict))
            raise ValueError(
                f"lock {self.name!r}: on_conflict is {self.on_conflict!r}, and must be one of: {known}"
            )

    def key(self, payload: bytes) -> str:
        """The lock that a job with this payload needs; one without the field, or that is not JSON, needs the one of null."""
        if self.by is None:
            return self.name
        return f"{self.name}:{hashlib.sha256(self.value(payload)).hexdigest()[:32]}"

    def value(self, payload: bytes) -> bytes:
        """What selects the lock of a job with this payload, as JSON."""
        return msgspec.json.encode(_field(payload, self.by or ""), order="deterministic")


def _field(payload: bytes, name: str) -> Any:
    try:
        fields = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # it breaks the stage's contract, which is a failure of the attempt and not of the claim
    return fields.get(name) if isinstance(fields, dict) else None
