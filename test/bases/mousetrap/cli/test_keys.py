"""Keys that the command line makes."""

from datetime import UTC, datetime, timedelta

import pytest

from mousetrap.api_client import Misused
from mousetrap.api_keys import ALLOWS, ApiKeys, Scope
from mousetrap.cli.keys import SCOPES, new


def test_an_api_key_is_shown_with_its_entry(capsys: pytest.CaptureFixture[str]) -> None:
    new("ci", ["run", "read"])

    lines = dict(
        line.removeprefix("export ").split("=", 1)
        for line in capsys.readouterr().out.splitlines()
        if "=" in line
    )
    caller = ApiKeys.parse(lines["MOUSETRAP_API_KEYS"]).find(lines["MOUSETRAP_API_KEY"])
    assert caller is not None
    assert (caller.id, caller.scopes) == ("ci", frozenset({Scope.RUN, Scope.READ}))


@pytest.mark.parametrize(("name", "scopes"), [("A b", ["run"]), ("ci", ["fly"])])
def test_a_wrong_name_or_scope_is_misuse(name: str, scopes: list[str]) -> None:
    with pytest.raises(Misused):
        new(name, scopes)


def test_a_key_for_some_days_is_shown_with_its_last_one(capsys: pytest.CaptureFixture[str]) -> None:
    before = datetime.now(UTC).date()
    new("ci", ["run"], 30)

    out = capsys.readouterr().out
    entry = out.partition("MOUSETRAP_API_KEYS=")[2].strip()
    (caller, _) = ApiKeys.parse(entry).callers["ci"]
    assert caller.last_day in (before + timedelta(days=30), before + timedelta(days=31))
    assert f"good until {caller.last_day} (UTC)" in out


def test_the_help_lists_every_scope_with_what_it_allows() -> None:
    for scope, what in ALLOWS.items():
        assert f"{scope} ({what})" in SCOPES
