"""Cancels runs over the API."""

from collections.abc import Mapping, Sequence

from mousetrap.api_client import Api, Misused
from mousetrap.cli.output import say
from mousetrap.cli.short_ids import with_run
from mousetrap.settings import Settings


def cancel(environ: Mapping[str, str], run_ids: Sequence[str]) -> int:
    """The command: 1 when one of the runs could not be cancelled; the others are nevertheless."""
    settings = Settings.from_environ(environ)
    failures = 0
    with Api(settings.api_url, settings.api_key) as api:
        for run_id in run_ids:
            try:
                cancelled = with_run(api, run_id, api.cancel)
            except Misused as error:
                say(f"mousetrap: run {run_id}: {error}", error=True)
                failures += 1
            else:
                say(f"run {cancelled} is cancelled")
    return 1 if failures else 0
