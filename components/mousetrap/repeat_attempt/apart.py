"""Makes an attempt in a process of its own, which can die."""

import inspect
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from mousetrap.handlers import AttemptFailed, failure_of
from mousetrap.jobs import Failure, Job, decode, encode
from mousetrap.repeat_attempt.repeat import Target, binding_of, repeat

#: What the process has beside its attempt, to start, to open the lifespan and to end; and the limit of a stage without one.
_AROUND_S, _NO_LIMIT_S = 60.0, 3_600.0

#: What the process runs; the path first, for it may lead to us.
_CHILD = """import sys
sys.path[:] = sys.argv[4:]
from mousetrap.repeat_attempt.apart import attempt_in_child
attempt_in_child(*sys.argv[1:4])"""


def repeat_apart(binding: Callable[[], Target], job: Job) -> None:
    """Makes the attempt as `repeat` does, in a process of its own: for a handler that ends the process that runs it.

    `binding` is a function at the top of a file; the process runs that file and calls it. It is killed a minute
    after the time limit of the stage, or after an hour where the stage has none. Raises AttemptFailed, and ValueError for the
    job of another stage.
    """
    limit = (binding_of(binding(), job).stage.timeout or _NO_LIMIT_S) + _AROUND_S
    with TemporaryDirectory(prefix="mousetrap-attempt-") as folder:
        job_file = Path(folder, "job.json")
        job_file.write_bytes(encode(job.as_json()))
        source = inspect.getsourcefile(binding)
        command = [sys.executable, "-c", _CHILD, str(source), binding.__name__, str(job_file), *sys.path]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False, timeout=limit)
        except subprocess.TimeoutExpired:
            raise AttemptFailed(Failure(kind="TimeLimitExceeded", text=_hung(limit))) from None
        ending = job_file.with_suffix(".ended")
        if not ending.exists():
            raise AttemptFailed(Failure(kind="CrashLoop", text=_death(done.returncode)))
        failure = msgspec.json.decode(ending.read_bytes(), type=Failure | None)
        if failure is not None:
            raise AttemptFailed(failure)


def attempt_in_child(source: str, name: str, job_file: str) -> None:
    """Makes the attempt, and writes beside the job how it ended."""
    failure: Failure | None = None
    try:
        repeat(runpy.run_path(source)[name](), decode(Path(job_file).read_bytes()))
    except AttemptFailed as error:
        failure = error.failure
    except BaseException as error:  # noqa: BLE001  its parent raises it
        failure = failure_of(error)
    Path(job_file).with_suffix(".ended").write_bytes(msgspec.json.encode(failure))


def _hung(limit: float) -> str:
    return f"the attempt's process did not end within {limit:g} s, and was killed: look for native code that hangs"


def _death(code: int) -> str:
    if code >= 0:
        return f"the attempt ended its process with exit code {code}"
    name = next((known.name for known in signal.Signals if known == -code), "no name")
    advice = "look for memory" if -code == signal.SIGKILL else "look for native code that crashes"
    return f"the attempt ended its process by signal {-code} ({name}): {advice}"
