"""Repeats a run over the API, all of it or from a stage on, and follows the new one to its end."""

from collections.abc import Mapping

from mousetrap.cli.api_client import Api
from mousetrap.cli.run import read_input, told
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
        answer = api.rerun(run_id, begin, body, key=key)
        return told(api, api.run(run_id).pipeline, answer, follow=follow, as_json=as_json)
