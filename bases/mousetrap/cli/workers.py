"""The command for workers: workers."""

from mousetrap.cli.options import AsJson
from mousetrap.cli.session import open_api


def workers(as_json: AsJson = False) -> None:
    """List the workers: who is alive, what they serve and run."""
    from mousetrap.cli.output import print_reply
    from mousetrap.cli.tables.workers import workers_table

    with open_api(quiet=as_json) as api:
        reply = api.workers()
    print_reply(reply, as_json, workers_table)
