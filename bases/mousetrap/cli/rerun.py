"""Repeats a run over the API, all of it or from a stage on, and follows the new one to its end."""

from collections.abc import Mapping

from mousetrap.api_client import Api
from mousetrap.cli.run import read_input, told
from mousetrap.cli.short_ids import with_run
from mousetrap.settings import Settings


def rerun(
    environ: Mapping[str, str],
    run_id: str,
    *,
    begin: str,
    given: str | None,
    key: str | None,
    follow: bool,
    as_json: bool,
) -> int:
    """The command: 0 when the new run completed, or was accepted and is not to be followed; else 1."""
    settings = Settings.from_environ(environ)
    with Api(settings.api_url, settings.api_key) as api:
        body = None if given is None else read_input(given)
        run = with_run(api, run_id, api.run)
        answer = api.rerun(run.id, begin, body, key=key)
        return told(api, run.pipeline, answer, follow=follow, as_json=as_json)
