"""Separates a forked process from its parent's signals and connections.

A handler forks by `multiprocessing` ("fork", the default on Linux before Python 3.14), `os.fork`, or `preexec_fn`. Without
this, the child would write each signal that it gets into the pipe that wakes the parent's event loop, and so stop the
parent; it would not die of the signal; and it would keep the parent's connections open after the parent's death, so that
the parent's jobs would not be delivered again.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class ThisProcess:
    """The process that runs this code."""

    #: Whether it was forked after the first call of a function below. An attribute, because each job asks.
    forked: bool = False


this_process = ThisProcess()
_handlers: dict[int, Any] = {}
_descriptors: set[int] = set()
_loops: set[asyncio.AbstractEventLoop] = set()
_blocked = threading.local()
_registered = False
#: The last of standard input, output and error, which every process shares.
_LAST_STANDARD = 2


def own_signals(*numbers: signal.Signals) -> None:
    """Keeps the handlers of these signals, as they are now, to this process: in a child they are the default ones."""
    _begin()
    _handlers.update({number: signal.getsignal(number) for number in numbers})


def own_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Closes in a child what this event loop watches: connections to servers, pipes, the loop's own descriptors."""
    _begin()
    _loops.add(loop)


def close_in_forks(descriptor: int) -> None:
    """Closes this descriptor in a child."""
    _begin()
    _descriptors.add(descriptor)


def keep_in_forks(descriptor: int) -> None:
    """Undoes `close_in_forks`: the descriptor is closed here."""
    _descriptors.discard(descriptor)


def _begin() -> None:
    global _registered
    if not _registered:
        _registered = True
        os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_separate)


def _block() -> None:
    """Delays a signal to the child until the child is separated."""
    _blocked.before = signal.pthread_sigmask(signal.SIG_BLOCK, _handlers)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _blocked.before)


def _separate() -> None:
    this_process.forked = True
    signal.set_wakeup_fd(-1)
    for number, handler in _handlers.items():
        if signal.getsignal(number) == handler:  # else the handler of the stage has set one of its own
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
    # Each is replaced by a descriptor of /dev/null, not closed: who still has the number would close a later one's.
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in {
        *_descriptors,
        *(each for loop in _loops if not loop.is_closed() for each in _watched(loop)),
    }:
        with suppress(OSError):
            os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)
    _unblock()


def _watched(loop: asyncio.AbstractEventLoop) -> Iterator[int]:
    """The descriptors that the loop watches, and its own; none where the system does not list them."""
    with suppress(AttributeError, OSError, ValueError):
        own = loop._get_backend_id() if hasattr(loop, "_get_backend_id") else loop._selector.fileno()  # type: ignore[attr-defined]
        for line in Path(f"/proc/self/fdinfo/{own}").read_text(encoding="ascii").splitlines():
            if line.startswith("tfd:") and (watched := int(line.split()[1])) > _LAST_STANDARD:
                yield watched
        yield own
