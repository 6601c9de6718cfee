"""The command for limits: who holds them, and who waits."""

from typing import Annotated

import typer

from mousetrap.cli.options import AsJson
from mousetrap.cli.session import open_api


def limits(
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", help="Only the limits of this pipeline.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the limits of stages: which runs hold them, and how many wait."""
    from mousetrap.cli.output import print_reply
    from mousetrap.cli.tables.limits import limits_table

    with open_api(quiet=as_json) as api:
        reply = api.limits(pipeline)
    print_reply(reply, as_json, limits_table)
