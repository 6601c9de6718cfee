"""Cancels or repeats all runs that a filter selects."""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from mousetrap.cli.operations import Following, follow_operation, print_end
from mousetrap.cli.run_options import SelectedRuns
from mousetrap.cli.session import open_api


class Many(NamedTuple):
    """The runs that a command is to change, and how."""

    selected: SelectedRuns
    everything: bool
    limit: int | None
    rate: float
    sure: bool
    why: str

    @property
    def selects(self) -> bool:
        """Whether options select any."""
        return bool(self.selected.words) or self.everything

    def cancel(self, how: Following) -> None:
        """Cancels them. Raises CommandFailed where none matches, or the operation was stopped."""
        self._confirm("Cancel")
        with open_api(quiet=how.as_json, why=self.why) as api:
            operation = follow_operation(api, api.cancel_runs(self.selected.filter, **self._how()), how)
        if operation:
            print_end(operation, "cancelled", quiet=how.as_json)

    def rerun(self, begin: str, key: str | None, how: Following) -> None:
        """Repeats them. Raises CommandFailed where none matches, or some cannot be repeated."""
        self._confirm("Repeat")
        with open_api(quiet=how.as_json, why=self.why) as api:
            begun = api.rerun_runs(self.selected.filter, begin, key=key, **self._how())
            operation = follow_operation(api, begun, how)
        if operation:
            print_end(operation, "started again", quiet=how.as_json)

    def _how(self) -> dict[str, Any]:
        return {"all": self.everything or None, "limit": self.limit, "rate": self.rate}

    def _confirm(self, what: str) -> None:
        from mousetrap.api_client import CommandFailed, Misused

        if self.sure:
            return
        if not sys.stdin.isatty():
            raise Misused("this changes many runs: without a terminal to ask on, pass --yes")
        question = f"{what} all runs that match{self.selected.words or ' (any)'}? [y/N] "
        if input(question).strip().lower() not in ("y", "yes"):
            raise CommandFailed("nothing was changed")


def check_either(runs: Sequence[str], many: Many) -> bool:
    """Whether runs are named, rather than selected. Raises Misused for both, and for neither."""
    from mousetrap.api_client import Misused

    if runs and many.selects:
        raise Misused("name runs, or select them with options, not both")
    if not runs and not many.selects:
        raise Misused("name runs by their ids, select them with options as --state failed, or pass --all")
    return bool(runs)
