"""The command `doctor`: checks what Mousetrap needs here."""

import typer

from mousetrap.cli.options import AsJson
from mousetrap.cli.session import environment


def doctor(as_json: AsJson = False) -> None:
    """Check settings, broker, store and API, and say how to correct what is wrong. Exits 1 when something is."""
    import msgspec

    from mousetrap.cli.output import print_json, terminal
    from mousetrap.cli.probes import all_checks
    from mousetrap.cli.tables.checks import checks_table

    checks = list(all_checks(environment(quiet=as_json)))
    if as_json:
        print_json(msgspec.json.encode(checks))
    else:
        terminal().print(checks_table(checks))
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(1)
