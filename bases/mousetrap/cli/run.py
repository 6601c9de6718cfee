"""Starts a run over the API and follows it to its end."""

import sys
from collections.abc import Mapping
from pathlib import Path

from rich.text import Text

from mousetrap.api_client import Api, Misused, follow, read_run, read_run_id
from mousetrap.cli.output import argument, print_json, say, terminal
from mousetrap.cli.result import result_of
from mousetrap.cli.screen import run_screen
from mousetrap.settings import Settings


def run(
    environ: Mapping[str, str],
    pipeline: str,
    given: str,
    *,
    key: str | None,
    run_id: str | None,
    expires_in: float | None,
    follow: bool,
    as_json: bool,
) -> int:
    """The command: 0 when the run completed, or was accepted and is not to be followed; else 1."""
    settings = Settings.from_environ(environ)
    with Api(settings.api_url, settings.api_key) as api:
        answer = api.start(pipeline, read_input(given), key=key, run_id=run_id, expires_in=expires_in)
        return told(api, pipeline, answer, follow=follow, as_json=as_json)


def told(api: Api, pipeline: str, answer: bytes, *, follow: bool, as_json: bool) -> int:
    """Shows what becomes of the run that the API accepted with `answer`, or just that it did."""
    if not follow:
        return _accepted(answer, as_json)
    return _followed(api, pipeline, read_run_id(answer), as_json)


def read_input(given: str) -> bytes:
    """The input: JSON itself, @FILE, or - for standard input. Raises Misused for a file that cannot be read."""
    if given == "-":
        return sys.stdin.buffer.read()
    if not given.startswith("@"):
        return given.encode()
    try:
        return Path(given[1:]).read_bytes()
    except OSError as error:
        raise Misused(f"--input {given}: {error.strerror}") from error


def _accepted(answer: bytes, as_json: bool) -> int:
    if as_json:
        print_json(answer)
    else:
        run_id = read_run_id(answer)
        say(f"accepted as run {run_id}: `mousetrap show {argument(run_id)}`")
    return 0


def _followed(api: Api, pipeline: str, run_id: str, as_json: bool) -> int:
    console = terminal(quiet=as_json)
    console.print(Text.assemble("run ", (run_id, "bold")))
    try:
        with run_screen(console, api.stages(pipeline)) as show:
            for news in follow(api, run_id):
                show(news)
    except KeyboardInterrupt:
        console.print(f"the run goes on: `mousetrap show {argument(run_id)}`")
        raise
    answer = api.run_as_json(run_id)
    ended = read_run(answer)
    if as_json:
        print_json(answer)
    console.print()
    console.print(result_of(ended))
    return 0 if ended.state == "completed" else 1
