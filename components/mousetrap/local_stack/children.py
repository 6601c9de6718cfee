"""Runs programs of ours as child processes: their output line by line, their end as news, none left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

#: Seconds that a child is given beyond its own grace period before it is killed.
_BEYOND_GRACE = 5.0


class Ended(NamedTuple):
    """A child has ended, all its output read."""

    name: str
    code: int


class Children:
    """Programs by name, each the module of ours that it runs.

    `tell` gets each line of output, from any thread; `ended` each child's end. All of them hold the file `lock` open.
    """

    def __init__(
        self,
        tell: Callable[[str, str], None],
        ended: Callable[[Ended], None],
        grace_seconds: float,
        lock: int | None = None,
    ) -> None:
        self._tell = tell
        self._ended = ended
        self._held = () if lock is None else (lock,)
        self._patience = grace_seconds + _BEYOND_GRACE
        self._guard = _start_guard()
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []

    @property
    def group(self) -> int:
        """The group of their processes."""
        return self._guard.pid

    def start(self, name: str, module: str, environment: Mapping[str, str]) -> None:
        """Starts `python -m module`."""
        child = subprocess.Popen(
            [sys.executable, "-m", module],
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=self._held,
            process_group=self._guard.pid,  # so a terminal's Ctrl-C reaches us alone, and we stop them in order
        )
        self._running[name] = child
        reader = threading.Thread(
            target=self._read, args=(name, child), name=f"output of {name}", daemon=True
        )
        self._readers.append(reader)
        reader.start()

    def stop(self, names: Iterable[str]) -> None:
        """Asks these children to finish, and returns when they have; one that does not is killed."""
        asked = [child for name in names if (child := self._running.get(name))]
        deadline = time.monotonic() + self._patience
        for child in asked:
            child.terminate()
        for child in asked:
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, deadline - time.monotonic()))
            child.kill()

    def kill(self) -> None:
        """Ends all children at once, and whatever they started."""
        with suppress(ProcessLookupError):
            os.killpg(self._guard.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kills what still runs and reads the last of its output."""
        self.kill()
        for child in self._running.values():
            child.wait()
        for reader in self._readers:
            reader.join()
        self._guard.communicate()

    def _read(self, name: str, child: "subprocess.Popen[str]") -> None:
        assert child.stdout
        with child.stdout as lines:
            for line in lines:
                self._tell(name, line.rstrip("\n"))
        self._ended(Ended(name, child.wait()))


def _start_guard() -> subprocess.Popen[bytes]:
    """A shell whose process group the children join: it kills that group when we die, for then its input closes.

    It cannot be outlived by a signal that we never get to handle, and it needs nothing that is Linux's alone.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", "read -r _; kill -KILL 0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
