"""Shows that keys made here are keys there."""

import pytest

from mousetrap.api_keys import ApiKeys, Scope
from mousetrap.cli.failures import Misused
from mousetrap.cli.keys import new_api_key, signing_key
from mousetrap.signing import Keyring


def test_an_api_key_is_shown_with_its_entry(capsys: pytest.CaptureFixture[str]) -> None:
    assert new_api_key("ci", ["run", "read"]) == 0

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
        new_api_key(name, scopes)


def test_signing_keys_are_all_different_and_stand_side_by_side() -> None:
    ring = Keyring.parse(",".join(signing_key() for _ in range(20)))
    assert len(ring.keys) == len(set(ring.keys.values())) == 20
