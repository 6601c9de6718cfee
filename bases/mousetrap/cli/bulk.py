"""Cancels or repeats all runs that a filter selects."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mousetrap.cli.operations import Following, follow_operation, print_end
from mousetrap.cli.session import open_api

if TYPE_CHECKING:
    from mousetrap.api_client import RunsFilter


def check_either(runs: Sequence[str], filter: "RunsFilter") -> bool:
    """Whether runs are named, rather than selected. Raises Misused for both, and for neither."""
    from mousetrap.api_client import Misused

    selects = bool(filter.params().keys() - {"limit", "rate"})
    if runs and selects:
        raise Misused("name runs, or select them with a filter, not both")
    if not runs and not selects:
        raise Misused("name runs by their ids, select them with --pipeline and --state, or pass --all")
    return bool(runs)


def cancel_many(filter: "RunsFilter", how: Following, *, sure: bool, why: str) -> None:
    """Cancels the runs of a filter. Raises CommandFailed where none matches, or the operation was stopped."""
    _confirm("Cancel", filter, sure)
    with open_api(quiet=how.as_json, why=why) as api:
        operation = follow_operation(api, api.cancel_runs(filter), how)
    if operation:
        print_end(operation, "cancelled", quiet=how.as_json)


def rerun_many(
    filter: "RunsFilter", begin: str, key: str | None, how: Following, *, sure: bool, why: str
) -> None:
    """Repeats the runs of a filter. Raises CommandFailed where none matches, or some cannot be repeated."""
    _confirm("Repeat", filter, sure)
    with open_api(quiet=how.as_json, why=why) as api:
        operation = follow_operation(api, api.rerun_runs(filter, begin, key=key), how)
    if operation:
        print_end(operation, "started again", quiet=how.as_json)


def _confirm(what: str, filter: "RunsFilter", sure: bool) -> None:
    from mousetrap.api_client import CommandFailed, Misused

    if sure:
        return
    if not sys.stdin.isatty():
        raise Misused("this changes many runs: without a terminal to ask on, pass --yes")
    conditions = {"pipeline": filter.pipeline, "state": filter.state}
    named = ", ".join(f"{name} {value}" for name, value in conditions.items() if value) or "any"
    if input(f"{what} all runs that match: {named}? [y/N] ").strip().lower() not in ("y", "yes"):
        raise CommandFailed("nothing was changed")
