"""Selects dead letters, runs and jobs, and writes that into a request."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mousetrap.shapes import LetterConditions, RunConditions


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter(LetterConditions):
    """Selects the dead letters that fulfil all conditions; the API redrives or discards none without a condition or `all`."""

    ids: tuple[str, ...] = ()
    all: bool | None = None

    def params(self) -> dict[str, Any]:
        """The conditions that were given, by their names in a request."""
        return without_empty(asdict(self))


class RunFilter(RunConditions):
    """Selects the runs that fulfil all conditions."""

    def conditions(self) -> dict[str, Any]:
        """Those that were given, by their names in a request."""
        return without_empty(asdict(self))

    def params(self) -> dict[str, Any]:
        """The same, as a query has them."""
        return {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in self.conditions().items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Selects jobs of a run: of a stage, in a state, and those behind a page before."""

    stage: str | None = None
    state: str | None = None
    after: str | None = None

    def params(self) -> dict[str, Any]:
        """The conditions that were given, by their names in a request."""
        return without_empty(asdict(self))


def without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that were given: neither None nor empty."""
    return {name: value for name, value in values.items() if value not in (None, "", (), [])}
