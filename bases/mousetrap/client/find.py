"""Finds which stack a client is for, and how to reach it."""

import os
from collections.abc import Mapping
from typing import Literal

from mousetrap.catalogue import SETTINGS
from mousetrap.settings import OFF, Settings, SettingsWrong, local_environment

Via = Literal["broker", "http"]

_NOTHING = (
    "no stack runs in this folder or one above, and the environment names none: start one with `mousetrap up`, or set "
    "MOUSETRAP_BROKER_URL, MOUSETRAP_STORE_URL and MOUSETRAP_SIGNING_KEYS, or MOUSETRAP_API_URL and MOUSETRAP_API_KEY"
)


def find(
    via: Via | None, settings: Settings | None, environ: Mapping[str, str] = os.environ
) -> tuple[Via, Settings]:
    """The backend to use, and the settings that it needs.

    1. `settings`, where given, are used as they are: over the broker unless `via` is "http".
    2. The environment, if it has any address; else the stack that `mousetrap up` runs in this folder or the nearest above.
    3. `via`, where given; else the broker if its address was found, else the API.

    Raises SettingsWrong, with what to set, where nothing is found or keys are missing.
    """
    if settings is not None:
        return _with_keys(via or "broker", settings)
    found = local_environment(environ)
    given = Settings.given_in(found, SETTINGS)
    if via is None and not given & {"broker_url", "api_url"}:
        raise SettingsWrong(_NOTHING)
    return _with_keys(
        via or ("broker" if "broker_url" in given else "http"), Settings.from_environ(found, SETTINGS)
    )


def _with_keys(via: Via, settings: Settings) -> tuple[Via, Settings]:
    if via == "broker" and not settings.keyring.keys and settings.signing_keys != OFF:
        raise SettingsWrong(
            "MOUSETRAP_SIGNING_KEYS: not set: workers with keys would refuse what this client sends. Set the keys that the "
            f"workers have, or `{OFF}` where they have none; beside a stack of `mousetrap up` nothing needs to be set"
        )
    return via, settings
