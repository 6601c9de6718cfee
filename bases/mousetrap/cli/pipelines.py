"""The commands `pipelines …`: list, show."""

from typing import Annotated

import typer

from mousetrap.cli.options import AsJson
from mousetrap.cli.session import open_api

app = typer.Typer(help="Show the pipelines that runs can be started of.", no_args_is_help=True)


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the pipelines with their stages."""
    from mousetrap.cli.output import print_reply
    from mousetrap.cli.tables.pipelines import pipelines_table

    with open_api(quiet=as_json) as api:
        reply = api.pipelines()
    print_reply(reply, as_json, pipelines_table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="PIPELINE", help="The pipeline's name.")],
    as_json: AsJson = False,
) -> None:
    """Draw a pipeline: which stage follows which, with queues and types."""
    from mousetrap.cli.output import print_reply
    from mousetrap.cli.tables.pipelines import graph

    with open_api(quiet=as_json) as api:
        reply = api.pipeline(name)
    print_reply(reply, as_json, graph)
