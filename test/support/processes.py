"""Starts programs, reads their output, and ends them with the tests."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self


class Process:
    """A child in a process group of its own, whose output (both streams) is kept line by line as it comes."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None
    ) -> None:
        self.name = " ".join(command[-2:])
        self.lines: list[str] = []
        self._silent = False  # its output has ended
        self._news = threading.Condition()
        self._child = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._guard = _end_with_us(self._child.pid)
        self._reader = threading.Thread(target=self._read, name=f"output of {self.name}", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child.poll() is None

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for_line(self, text: str, seconds: float = 60.0, *, after: int = 0) -> str:
        """The first line that holds `text`, the first `after` lines left out."""
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                for line in self.lines[after:]:
                    if text in line:
                        return line
                if self._silent or not self._news.wait(deadline - time.monotonic()):
                    raise AssertionError(
                        f"{self.name} did not print {text!r} within {seconds:g} s; its output:\n{self.output}"
                    )

    def send(self, number: signal.Signals) -> None:
        """Signals the program alone, not what it started; an ended one gets no signal."""
        self._child.send_signal(number)

    def wait(self, seconds: float = 60.0) -> int:
        """The exit code, all output read."""
        try:
            code = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} did not end within {seconds:g} s; its output:\n{self.output}"
            ) from None
        self._reader.join(seconds)
        return code

    def terminate(self, seconds: float = 60.0) -> int:
        """Asks the program to end; its exit code."""
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        """Ends the program and all that it started, at once."""
        with suppress(ProcessLookupError):  # what an ended program started may still run
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        self._guard.kill()
        self._guard.communicate()
        self._reader.join()
        if self._child.stdout:
            self._child.stdout.close()

    def _read(self) -> None:
        assert self._child.stdout
        for line in self._child.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._silent = True
            self._news.notify_all()


def base_command(base: str, *arguments: str) -> list[str]:
    """How a base is started as a program of its own."""
    return [sys.executable, "-m", f"mousetrap.{base}", *arguments]


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment with no setting of Mousetrap's but those given, and output that is not held back."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MOUSETRAP_")}
    return {**inherited, "PYTHONUNBUFFERED": "1", **settings}


def _end_with_us(group: int) -> subprocess.Popen[bytes]:
    """A shell that kills the process group when we die, even by SIGKILL: then its standard input closes."""
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; kill -9 "-$0"', str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
