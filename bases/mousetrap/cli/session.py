"""Opens the API that a command uses: the environment's, or that of the stack in this folder."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mousetrap.api_client import Api


def environment(*, quiet: bool = False) -> Mapping[str, str]:
    """The shell's variables, with those of the stack in this folder; names that stack on standard error, unless `quiet`."""
    from mousetrap.cli.output import say
    from mousetrap.settings import local_environment

    def name(line: str) -> None:
        if not quiet:
            say(f"mousetrap: {line}", error=True)

    return local_environment(os.environ, name)


@contextmanager
def open_api(*, quiet: bool = False) -> "Iterator[Api]":
    """The API of that environment."""
    from mousetrap.api_client import Api
    from mousetrap.cli.settings import read_settings

    settings = read_settings(environment(quiet=quiet))
    with Api(settings.api_url, settings.api_key) as api:
        yield api
