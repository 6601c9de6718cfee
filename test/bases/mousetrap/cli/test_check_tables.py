"""The table of checks."""

from mousetrap.cli.checks import Check
from mousetrap.cli.tables.checks import checks_table
from support.terminal import shown


def test_a_check_that_failed_shows_how_to_correct_it() -> None:
    checks = (Check("settings", "ok", "2 given"), Check("store", "fail", "no answer", "start it"))
    assert shown(checks_table(checks)) == (
        "ok    settings  2 given\nfail  store     no answer\n                → start it"
    )
