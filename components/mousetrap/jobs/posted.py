"""Passes the result of a publish to its caller, once."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

import msgspec

from mousetrap.jobs.errors import MousetrapError

_log = logging.getLogger("mousetrap.jobs")

#: Gets None once the queue has the message, else the error.
Settled = Callable[[MousetrapError | None], None]


class Posted(msgspec.Struct, eq=False, kw_only=True):
    """A message on its way, and who waits for its result: no one once it is settled, or its caller has left."""

    settled: Settled | None

    def settle(self, error: MousetrapError | None = None) -> None:
        """Passes the result on, unless that is done. What the caller raises is logged: the others of its batch go on."""
        settled, self.settled = self.settled, None
        if settled is None:
            return
        try:
            settled(error)
        except Exception:  # noqa: BLE001  the others of a batch get their results, whatever it is
            _log.exception("what follows a publish failed")

    def leave(self) -> None:
        """The caller waits no more."""
        self.settled = None


async def until_settled(post: Callable[[Settled], Posted]) -> None:
    """Posts, and returns once the queue has the message. Raises the error that settles it."""
    done = asyncio.get_running_loop().create_future()
    posted = post(partial(_resolve, done))
    try:
        await done
    finally:
        posted.leave()


def _resolve(done: "asyncio.Future[None]", error: MousetrapError | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
