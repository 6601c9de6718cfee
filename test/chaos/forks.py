"""Forks this process, to be killed or to go on until SIGTERM."""

import asyncio
import os
import signal
import traceback
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from chaos.points import Trap


def forked(act: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """A fork that does this, and has no imports to do again; its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(act())
        except BaseException:  # noqa: BLE001  a fork must not go on as its parent
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


def set_trap(folder: Path, broker_url: str, how: str) -> Trap:
    """A trap of this process: `POINT kill COUNT`, or nothing."""
    file = folder / f"trap.{os.getpid()}"
    file.write_text(how)
    trap = Trap(file, broker_url)
    trap.set()
    return trap


def show_ends(point: str, pids: Sequence[int]) -> None:
    """Prints how these forks ended."""
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    print(f"ended at {point}:", *codes, flush=True)


def until_stopped(pids: Sequence[int], words: str) -> int:
    """Prints the words, and passes SIGTERM on; gives the worst code of these forks."""

    def stop_all(*_: object) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop_all)
    print(words, flush=True)
    return max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids)
