"""Runs the weather example on a stack of its own.

`make weather` does it: serves the stations' files, starts a run, makes a schedule, lets that start another run, and removes all.
With MOUSETRAP_BROKER_URL the queue is that RabbitMQ, otherwise the embedded one.
"""

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from weather.stations import served

_CLI = (sys.executable, "-P", "-m", "mousetrap.cli")
_WORK = Path(__file__).parent / "work.py"
#: A worker and the API have ended by then, or are ended.
_STOP_S = 60
_LAST_LINES = 20


def main() -> int:
    """The exit code: that of the first command that fails."""
    with TemporaryDirectory(prefix="mousetrap-weather-") as folder, served() as urls, _stack(folder):
        request = json.dumps({"urls": urls})
        for command in (
            ("run", "weather", "--input", request),
            (
                "schedules",
                "add",
                "nightly",
                "--pipeline",
                "weather",
                "--cron",
                "30 2 * * *",
                "--input",
                request,
            ),
            ("schedules", "run", "nightly"),
        ):
            print(f"\n$ mousetrap {' '.join(command[:3])} …", flush=True)
            code = subprocess.call([*_CLI, *command], cwd=folder, env=_environment())
            if code:
                return code
    print("\nDone; the stack and what it kept are removed.")
    return 0


@contextmanager
def _stack(folder: str) -> Iterator[None]:
    """`mousetrap up work.py`, until the block ends; its last lines are printed where it does not start."""
    up = subprocess.Popen(
        [*_CLI, "up", str(_WORK)],
        cwd=folder,
        env={**_environment("MOUSETRAP_BROKER_URL", "MOUSETRAP_QUEUE_TYPE"), "MOUSETRAP_API_PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert up.stdout is not None
    lines = deque[str](maxlen=_LAST_LINES)
    try:
        for line in up.stdout:
            lines.append(line)
            if "The API is at" in line:
                break
        else:
            raise SystemExit("the stack did not start:\n" + "".join(lines))
        Thread(target=up.stdout.read, daemon=True).start()  # so that it never waits to be read
        yield
    finally:
        up.terminate()
        try:
            up.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            up.kill()


def _environment(*kept: str) -> Mapping[str, str]:
    """Without the addresses of another stack: commands find this one by its folder."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith("MOUSETRAP_") or name in kept
    }


if __name__ == "__main__":
    sys.exit(main())
