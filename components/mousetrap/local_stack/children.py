"""Runs our programs as child processes, and leaves none behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

#: A child that has not ended so long after its own grace period is killed.
_BEYOND_GRACE_S = 5.0


class Ended(NamedTuple):
    """A child has ended, all its output read."""

    name: str
    code: int


class Children:
    """Programs by name, each a module and its arguments.

    `on_line` gets each line of output and `on_end` each child's end, from any thread. All children hold the file `lock` open.
    """

    def __init__(
        self,
        on_line: Callable[[str, str], None],
        on_end: Callable[[Ended], None],
        grace_s: float,
        lock: int | None = None,
    ) -> None:
        self._on_line = on_line
        self._on_end = on_end
        self._inherited = () if lock is None else (lock,)
        self._stop_timeout_s = grace_s + _BEYOND_GRACE_S
        self._guard = _start_guard()
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []

    @property
    def group(self) -> int:
        """The id of their process group."""
        return self._guard.pid

    def start(self, name: str, program: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts `python -m` with these arguments: a module, and its own."""
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", *program],
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=self._inherited,
            process_group=self._guard.pid,  # so a terminal's Ctrl-C reaches us alone, and we stop them in order
        )
        self._running[name] = child
        reader = threading.Thread(
            target=self._read, args=(name, child), name=f"output of {name}", daemon=True
        )
        self._readers.append(reader)
        reader.start()

    def pids(self, names: Iterable[str]) -> set[int]:
        """The process of each of these children that was started last."""
        return {child.pid for name in names if (child := self._running.get(name))}

    def ask(self, names: Iterable[str]) -> None:
        """Asks these children to finish, or once more; from any thread."""
        for name in names:
            if child := self._running.get(name):
                child.terminate()

    def stop(self, names: Iterable[str]) -> None:
        """Asks these children to finish, and returns when they have; one that does not in time is killed."""
        asked = [child for name in names if (child := self._running.get(name))]
        deadline = time.monotonic() + self._stop_timeout_s
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
                self._on_line(name, line.rstrip("\n"))
        self._on_end(Ended(name, child.wait()))


def _start_guard() -> subprocess.Popen[bytes]:
    """A shell whose process group the children join: when this process dies its input closes, and it kills the group.

    So no child survives even a SIGKILL of this process; it works on macOS too.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", "read -r _; kill -KILL 0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
