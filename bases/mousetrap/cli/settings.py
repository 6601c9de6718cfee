"""Reads the settings, those of the catalogue's groups too."""

from collections.abc import Mapping

from mousetrap.catalogue import SETTINGS
from mousetrap.settings import Settings


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings of a command. Raises SettingsWrong."""
    return Settings.from_environ(environ, SETTINGS)


def given_settings(environ: Mapping[str, str]) -> frozenset[str]:
    """The names of the settings that are given; all others are defaults. Raises SettingsWrong."""
    return Settings.given_in(environ, SETTINGS)
