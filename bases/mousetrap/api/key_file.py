"""Reads the keys again when their file changes, so that a key can be given and taken away while the API runs."""

import asyncio
import logging
from pathlib import Path

from mousetrap.api.access import Access
from mousetrap.api_keys import ApiKeys
from mousetrap.settings import Settings, SettingsWrong

#: Seconds between two looks at the file.
LOOK_S = 2.0

_log = logging.getLogger("mousetrap.api")


async def follow_keys(access: Access, path: Path) -> None:
    """Keeps `access.keys` as the file has them; one that cannot be used changes nothing and is named once in the log."""
    seen = None
    while True:
        stamp = _stamp(path)
        if stamp != seen:
            seen = stamp
            _read_again(access, path)
        await asyncio.sleep(LOOK_S)


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read_again(access: Access, path: Path) -> None:
    try:
        text = Settings.from_environ({"MOUSETRAP_API_KEYS_FILE": str(path)}).api_keys
        keys = ApiKeys.parse(text)
    except (SettingsWrong, ValueError) as error:
        _log.error("the keys stay as they were, for their file cannot be used: %s", error)
        return
    # A file without keys is refused by the settings: it would let in everybody on this machine.
    if keys != access.keys:
        came, left = keys.callers.keys() - access.keys.callers, access.keys.callers.keys() - keys.callers
        access.keys = keys
        _log.info("read the keys again", extra={"came": sorted(came), "left": sorted(left)})
