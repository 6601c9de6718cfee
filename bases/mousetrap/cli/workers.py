"""Lists the workers, as the API tells it."""

from collections.abc import Mapping

from mousetrap.api_client import Api, read_workers
from mousetrap.cli.output import print_json, terminal
from mousetrap.cli.tables import workers_table
from mousetrap.settings import Settings


def workers(environ: Mapping[str, str], *, as_json: bool) -> int:
    """The command `workers`."""
    settings = Settings.from_environ(environ)
    with Api(settings.api_url, settings.api_key) as api:
        answer = api.workers_as_json()
    if as_json:
        print_json(answer)
    else:
        terminal().print(workers_table(read_workers(answer)))
    return 0
