"""The command for queues."""

from mousetrap.cli.options import AsJson
from mousetrap.cli.session import open_api


def queues(as_json: AsJson = False) -> None:
    """List the queues: what waits in them, who takes it, and how fast."""
    from mousetrap.cli.output import print_reply
    from mousetrap.cli.tables.queues import queues_table

    with open_api(quiet=as_json) as api:
        reply = api.queues()
    print_reply(reply, as_json, queues_table)
