"""Reads the settings of a command, and opens its API."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mousetrap.api_client import Api
    from mousetrap.settings import Settings


def environment(*, quiet: bool = False) -> Mapping[str, str]:
    """The shell's variables, with those of the stack in this folder; names that stack on standard error, unless `quiet`."""
    from mousetrap.cli.output import print_line
    from mousetrap.settings import local_environment, unread_names

    def on_line(line: str) -> None:
        if not quiet:
            print_line(f"mousetrap: {line}", error=True)

    for line in unread_names(os.environ):
        on_line(line)
    return local_environment(os.environ, on_line)


def read_settings(environ: Mapping[str, str]) -> "Settings":
    """The settings, with those of the catalogue's groups. Raises SettingsWrong."""
    from mousetrap.catalogue import SETTINGS
    from mousetrap.settings import Settings

    return Settings.from_environ(environ, SETTINGS)


def given_settings(environ: Mapping[str, str]) -> frozenset[str]:
    """The names of the settings that are given; all others are defaults. Raises SettingsWrong."""
    from mousetrap.catalogue import SETTINGS
    from mousetrap.settings import Settings

    return Settings.given_in(environ, SETTINGS)


@contextmanager
def open_api(*, quiet: bool = False, why: str = "") -> "Iterator[Api]":
    """The API of that environment; `why` is on record with what is changed."""
    from mousetrap.api_client import Api

    settings = read_settings(environment(quiet=quiet))
    with Api(settings.api_url, settings.api_key, why=why) as api:
        yield api
