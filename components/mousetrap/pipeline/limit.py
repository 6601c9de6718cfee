"""Limits how many jobs run at once, or begin in a time."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import msgspec

Every = Literal["second", "minute", "hour"]
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3_600.0}
#: The store counts in milliseconds, and one of a rate has at least a hundredth of one.
_MOST_A_SECOND = 100_000
_MOST = 1_000_000
#: Seconds whose jobs may begin together where a rate has no burst: a worker that looks so late loses nothing.
_BURST_S = 0.1
#: Characters of the value that selects a limit, as people see it.
_MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class AtMost:
    """So many jobs of the stage run at once, across all workers; or for each value of one field of their input.

    Raises ValueError for a number that is none, and for `fair` beside `per`.
    """

    most: int
    #: The field of the input whose value selects the limit; None for one limit of the whole stage.
    per: str | None = None
    #: Of a limit of the whole stage: the field whose values are served in turn while jobs wait.
    fair: str | None = None

    def __post_init__(self) -> None:
        _check_number(self, "most", self.most, _MOST)
        _check_fields(self)

    @property
    def interval_ms(self) -> float:
        """0: it counts jobs, and no time."""
        return 0.0

    @property
    def at_once(self) -> int:
        """How many may begin together."""
        return self.most


@dataclass(frozen=True, slots=True)
class Rate:
    """So many jobs of the stage begin in a second, a minute or an hour; or for each value of one field of their input.

    Raises ValueError for a number that is none, for another time, and for `fair` beside `per`.
    """

    most: int
    #: As AtMost's.
    per: str | None = None
    every: Every = "second"
    #: How many may begin together after a quiet time; None for what a tenth of a second brings, and at least one.
    burst: int | None = None
    fair: str | None = None

    def __post_init__(self) -> None:
        if self.every not in get_args(Every):
            raise ValueError(f"{self}: every is {self.every!r}: write one of {', '.join(get_args(Every))}")
        _check_number(self, "most", self.most, int(_MOST_A_SECOND * _SECONDS[self.every]))
        if self.burst is not None:
            _check_number(self, "burst", self.burst, _MOST)
        _check_fields(self)

    @property
    def interval_ms(self) -> float:
        """Between two jobs that begin."""
        return 1000.0 * _SECONDS[self.every] / self.most

    @property
    def at_once(self) -> int:
        """How many may begin together."""
        return self.burst or max(1, math.floor(_BURST_S * self.most / _SECONDS[self.every]))


Limit = AtMost | Rate


class LimitAt(NamedTuple):
    """A limit as one job meets it, in the form in which the store gets it."""

    #: Of the limit: pipeline, stage, `n` for a number at once or `r` for a rate, and a hash of the value that selects it.
    key: str
    most: int
    #: Milliseconds between two jobs; 0 for a number at once.
    interval_ms: float
    at_once: int
    #: A hash of the value that the limit is fair by, or `-`.
    line: str
    #: What selects the limit, for people.
    of: str


def limits_of(declared: object) -> tuple[Limit, ...]:
    """The limits that a stage declares; each kind at most once. Raises ValueError, with what to write."""
    limits = declared if isinstance(declared, tuple) else () if declared is None else (declared,)
    for each in limits:
        if not isinstance(each, AtMost | Rate):
            raise ValueError(f"limit is {each!r}: write AtMost(3), Rate(50), or both in a tuple")  # noqa: TRY004
    if len({type(each) for each in limits}) < len(limits):
        raise ValueError(f"limit has two of a kind, {limits[0]} and {limits[1]}: keep one of them")
    return limits


def limits_at(place: str, limits: Sequence[Limit], payload: bytes) -> tuple[LimitAt, ...]:
    """The limits as a job with this payload meets them; one without a field, or that is not JSON, has null for it."""
    fields = _fields(payload)
    return tuple(_at(place, limit, fields) for limit in limits)


def _at(place: str, limit: Limit, fields: dict[str, Any]) -> LimitAt:
    key, of = f"{place}:{'n' if isinstance(limit, AtMost) else 'r'}", ""
    if limit.per is not None:
        value = msgspec.json.encode(fields.get(limit.per), order="deterministic")
        key, of = f"{key}:{_hash(value)}", f"{limit.per}={_shown(value)}"
    line = "-"
    if limit.fair is not None:
        line = _hash(msgspec.json.encode(fields.get(limit.fair), order="deterministic"))
    return LimitAt(key, limit.most, limit.interval_ms, limit.at_once, line, of)


def _hash(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()[:32]


def _shown(value: bytes) -> str:
    text = value.decode().strip('"')
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def _fields(payload: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}  # it breaks the stage's contract, which is a failure of the attempt and not of the claim
    return fields if isinstance(fields, dict) else {}


def _check_number(limit: Limit, what: str, number: object, most: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
        raise ValueError(f"{limit}: {what} is {number!r}: write a whole number from 1 to {most:,}")


def _check_fields(limit: Limit) -> None:
    for what, name in (("per", limit.per), ("fair", limit.fair)):
        if name is not None and (not isinstance(name, str) or not name):
            raise ValueError(f"{limit}: {what} is {name!r}: write the name of a field of the input")
    if limit.per is not None and limit.fair is not None:
        raise ValueError(
            f"{limit}: with per={limit.per!r} each value has its own room already: leave out fair, or per"
        )
