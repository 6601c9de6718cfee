"""Reads which runs an address selects, and writes that in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mousetrap.dashboard.view import Query
from mousetrap.dashboard.words import clock
from mousetrap.shapes import RunState

#: The conditions, by the API's names, in the order in which they are shown.
NAMES = ("state", "pipeline", "stage", "worker", "error", "tag", "id", "from_ms", "to_ms", "repaired")
#: A field for a time in the form, and what the API calls it.
_TIMES = {"from": "from_ms", "to": "to_ms"}
OPEN = (RunState.QUEUED, RunState.RUNNING, RunState.RETRYING)
ENDED = (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED, RunState.EXPIRED, RunState.REJECTED)


@dataclass(frozen=True, slots=True)
class Chip:
    """A condition as the page shows it, and the query without it."""

    name: str
    text: str
    without: str


@dataclass(frozen=True, slots=True)
class RunFilter:
    """The conditions that were given, by name; the API judges them."""

    given: Mapping[str, str]

    def but(self, *names: str, **more: str) -> "RunFilter":
        """These conditions without those of `names`, and with `more`."""
        return RunFilter({name: text for name, text in {**self.given, **more}.items() if name not in names})

    def query(self) -> Query:
        """The same as pairs of an address."""
        return Query(tuple((name, self.given[name]) for name in NAMES if name in self.given))

    def chips(self) -> tuple[Chip, ...]:
        """Each condition, with what is left when it is taken off."""
        return tuple(
            Chip(name, self._text(name), str(self.but(name).query())) for name in NAMES if name in self.given
        )

    def body(self) -> dict[str, Any]:
        """The same for a request that acts on all that match."""
        return {name: _value(name, text) for name, text in self.given.items()} or {"all": True}

    def words(self) -> str:
        """All conditions in one line."""
        return ", ".join(chip.text for chip in self.chips()) or "every run"

    def field(self, name: str) -> str:
        """A time as a browser's field for it takes it; empty for none."""
        text = self.given.get(name, "")
        return clock(int(text)).replace(" ", "T") if _is_number(text) else ""

    def _text(self, name: str) -> str:
        text = self.given[name]
        if name == "repaired":
            return {"false": "not repaired", "true": "repaired"}.get(text, f"repaired: {text}")
        if name in _TIMES.values():
            return f"{name.removesuffix('_ms')} {f'{clock(int(text))} UTC' if _is_number(text) else text}"
        return f"{name}: {text}"


def read_filter(query: Query) -> RunFilter:
    """The conditions in a query. Times are milliseconds, or what a browser's field for a time gives, in UTC."""
    given = query.given(*NAMES)
    for field, name in _TIMES.items():
        if text := query.one(field):
            given[name] = _milliseconds(text)
    return RunFilter(given)


def _milliseconds(text: str) -> str:
    """The time as milliseconds since 1970; as it is where it is none, which the API refuses."""
    try:
        moment = datetime.fromisoformat(text)
        at = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return str(int(at.timestamp() * 1000))
    except (ValueError, OverflowError):
        return text


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16


def _value(name: str, text: str) -> Any:
    if name in _TIMES.values() and _is_number(text):
        return int(text)
    return {"true": True, "false": False}.get(text, text) if name == "repaired" else text
