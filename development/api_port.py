"""Ends with one line where the API's port is taken."""

import os
import sys

from mousetrap.api_client import CommandFailed
from mousetrap.catalogue import SETTINGS
from mousetrap.local_stack import find_api_port
from mousetrap.settings import Settings, SettingsWrong


def main() -> int:
    """0 for a port that is free, as far as settings can be read: `mousetrap up` reports what is wrong with them."""
    try:
        settings = Settings.from_environ(os.environ, SETTINGS)
    except SettingsWrong:
        return 0
    try:
        find_api_port(settings)
    except CommandFailed as error:
        print(f"dev: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
