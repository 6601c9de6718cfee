"""Checks at startup whether messages may be unsigned."""

from mousetrap.settings.addresses import is_on_this_machine
from mousetrap.settings.engine import OFF
from mousetrap.settings.environment import SettingsWrong
from mousetrap.settings.settings import Settings

_RISK = "anyone who can write to broker or store can start any job"
_ADVICE = "set MOUSETRAP_SIGNING_KEYS alike for the API and all workers; `mousetrap keys signing` makes a key"


def check_signing(settings: Settings) -> str | None:
    """A warning for the log where nothing is signed, None where there are keys.

    Raises SettingsWrong if signing is not switched off explicitly and broker or store are on another machine.
    """
    if settings.keyring.keys:
        return None
    if settings.signing_keys == OFF:
        return f"signing is off, by MOUSETRAP_SIGNING_KEYS: {_RISK}"
    away = [
        name
        for name, url in (("the broker", settings.broker_url), ("the store", settings.store_url))
        if not is_on_this_machine(url)
    ]
    if away:
        raise SettingsWrong(
            f"MOUSETRAP_SIGNING_KEYS: not set, and {' and '.join(away)} can be another machine: without keys {_RISK}; "
            f"{_ADVICE}, and `{OFF}` does without"
        )
    return f"nothing is signed: {_RISK}; {_ADVICE}"
