"""The command `doctor`: checks what Mousetrap needs here."""

from typing import Annotated

import typer

from mousetrap.cli.options import AsJson
from mousetrap.cli.session import environment


def doctor(
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 for a warning too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check settings, broker, store and API, and say how to correct what is wrong.

    Exits 1 when something is wrong; a warning changes that with --strict alone.
    """
    import msgspec

    from mousetrap.cli.output import print_json, terminal
    from mousetrap.cli.probes import all_checks
    from mousetrap.cli.tables.checks import checks_table

    checks = list(all_checks(environment(quiet=as_json)))
    if as_json:
        print_json(msgspec.json.encode(checks))
    else:
        terminal().print(checks_table(checks))
    bad = ("fail", "warn") if strict else ("fail",)
    if any(check.state in bad for check in checks):
        raise typer.Exit(1)
