"""Pauses many submissions while broker or store is away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mousetrap.jobs import (
    MousetrapError,
    PublishUnconfirmed,
    QueueUnreachable,
    RecordDamaged,
    StoreFull,
    StoreUnreachable,
)
from mousetrap.submit_run.order import Order

Result = TypeVar("Result")

#: Between two tries while broker or store is away, and how many such pauses all others wait for: a moment's outage costs
#: the submissions under way, and a long one a few seconds.
_PAUSE_S, _PAUSES = 1.0, 3


class NotTried(MousetrapError):
    """Broker or store is away: this one of many runs was not tried, and nothing of it is kept. Submit it again."""

    def outside(self) -> str:
        """The text with its cause as callers from outside may see it."""
        cause = self.__cause__
        return _text(cause, cause.outside()) if isinstance(cause, MousetrapError) else super().outside()


class Gate:
    """Lets submissions through; after one that found broker or store away, one a second until it is there again."""

    def __init__(self) -> None:
        self._away: Exception | None = None
        self._next_s = 0.0
        self._pauses = _PAUSES
        self._one = asyncio.Lock()
        #: Of all that it lets through.
        self.order = Order()

    async def run(self, act: Callable[[], Awaitable[Result]]) -> Result | Exception:
        """What `act` returns or raises; NotTried where broker or store stays away."""
        while self._away is not None:
            async with self._one:
                if self._away is None:
                    break
                left_s = self._next_s - asyncio.get_running_loop().time()
                if left_s > 0:
                    if not self._pauses:
                        return _not_tried(self._away)
                    self._pauses -= 1
                    await asyncio.sleep(left_s)
                return await self._tried(act)
        return await self._tried(act)

    async def _tried(self, act: Callable[[], Awaitable[Result]]) -> Result | Exception:
        try:
            result = await act()
        except Exception as error:  # noqa: BLE001  each has its own result, whatever it is
            if _is_away(error):
                self._away = error
                self._next_s = asyncio.get_running_loop().time() + _PAUSE_S
            return error
        if self._away is not None:
            self._away, self._pauses = None, _PAUSES
        return result


def _is_away(error: Exception) -> bool:
    """Whether the next would meet the same, after as long: a full store answers at once, and a damaged record is one run's."""
    away = isinstance(error, QueueUnreachable | StoreUnreachable | PublishUnconfirmed)
    return away and not isinstance(error, RecordDamaged | StoreFull)


def _not_tried(cause: Exception) -> NotTried:
    error = NotTried(_text(cause, str(cause)))
    error.__cause__ = cause
    return error


def _text(cause: Exception, why: str) -> str:
    if isinstance(cause, PublishUnconfirmed):  # its text is about another run
        why = "the broker confirmed no message in time"
    return f"this run was not tried, and nothing of it is kept; submit it again later: {why}"
