"""The command `audit`: who changed what."""

from typing import Annotated

import typer

from mousetrap.cli.options import AsJson
from mousetrap.cli.session import open_api


def audit(
    act: Annotated[
        str | None, typer.Option(help="Only acts of this kind: cancel, rerun, redrive, edit, discard, …")
    ] = None,
    who: Annotated[str | None, typer.Option(help="Only those of this key's id.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    after: Annotated[str | None, typer.Option(help="Go on where an earlier page ended.")] = None,
    as_json: AsJson = False,
) -> None:
    """List who changed what, newest first, and why: the newest ten thousand acts are kept."""
    from mousetrap.cli.output import local_time, print_reply
    from mousetrap.cli.tables.audit import audit_table

    with open_api(quiet=as_json) as api:
        reply = api.audit(act, who, limit=limit, after=after)
    print_reply(reply, as_json, lambda page: audit_table(page, local_time()))
