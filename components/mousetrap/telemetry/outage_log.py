"""Logs an outage once when it begins and once when it ends."""

import logging


class OutageLog:
    """The log of one server's outages, shared by all who use the server.

    1. The first `began` logs a warning with the cause.
    2. Further calls of `began` log nothing; with `repeat` they log a cause that differs from the logged one.
    3. `ended` by the last user who reported the outage logs that it is over.
    """

    def __init__(self, logger: logging.Logger, down: str, up: str) -> None:
        self._logger = logger
        self._down = down
        self._up = up
        self._users: set[str] = set()
        self._logged_cause = ""

    def __bool__(self) -> bool:
        """True during an outage."""
        return bool(self._users)

    def began(self, cause: str, user: str = "", *, repeat: bool = False) -> None:
        """`user` cannot use the server. Call it as often as you fail."""
        if not self._users or (repeat and cause != self._logged_cause):
            self._logger.warning("%s: %s", self._down, cause)
            self._logged_cause = cause
        self._users.add(user)

    def ended(self, user: str = "") -> None:
        """`user` can use the server again. Call it as often as you succeed."""
        if user in self._users:
            self._users.remove(user)
            if not self._users:
                self._logger.info("%s", self._up)
