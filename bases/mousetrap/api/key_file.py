"""Reads the keys again when their file changes."""

import asyncio
import logging
from pathlib import Path

from mousetrap.api.access import Access
from mousetrap.api_keys import ApiKeys
from mousetrap.settings import Settings, SettingsWrong

#: The pause between two checks of the file.
POLL_S = 2.0

_log = logging.getLogger("mousetrap.api")


async def follow_keys(access: Access, path: Path) -> None:
    """Gives `access` the file's keys, so that keys can be added and removed while the API runs.

    A file that cannot be used changes nothing and is logged once.
    """
    seen = None
    while True:
        stamp = _stamp(path)
        if stamp != seen:
            seen = stamp
            _read_again(access, path)
        await asyncio.sleep(POLL_S)


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
        _log.error("the keys stay as they were, because their file cannot be used: %s", error)
        return
    # The settings refuse a file without keys: it would let in every process of this machine.
    if keys != access.keys:
        came, left = keys.callers.keys() - access.keys.callers, access.keys.callers.keys() - keys.callers
        access.use(keys)
        _log.info("read the keys again", extra={"came": sorted(came), "left": sorted(left)})
