"""Wrong settings are reported, and imports frozen, before anything opens."""

import subprocess
import sys

import pytest

from mousetrap.serve_worker import serve_worker
from mousetrap.worker_flags import Span, WorkerFlags


def never(*_: object, **__: object) -> None:
    raise AssertionError("a queue was opened")


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"MOUSETRAP_BROKER_URL": "http://u:sesame@h"}, "MOUSETRAP_BROKER_URL: write an address"),
        ({"MOUSETRAP_LEASE_SECONDS": "0"}, "MOUSETRAP_LEASE_SECONDS: write a number from 0.1 to 86400"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(
    environ: dict[str, str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = serve_worker(never, [], environ)  # type: ignore[arg-type]

    lines = capsys.readouterr().err.splitlines()
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith(complaint)
    assert "sesame" not in lines[0]


def test_an_option_wins_over_the_environment_and_is_checked_like_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = serve_worker(never, [], {"MOUSETRAP_CONCURRENCY": "3"}, WorkerFlags(concurrency=Span(0)))  # type: ignore[arg-type]

    assert code == 2
    assert "MOUSETRAP_CONCURRENCY" in capsys.readouterr().err


_PROGRAM = """
import gc, os
from mousetrap.serve_worker import serve_worker

def connect(*_, **__):
    # Most of what is there was there before; it is not among what a collection looks through.
    print(gc.get_freeze_count() > len(gc.get_objects()), flush=True)
    os._exit(0)

serve_worker(connect, [], {"MOUSETRAP_SIGNING_KEYS": "k:a-secret-for-the-test"})
"""


def test_what_a_worker_has_imported_is_no_work_for_the_collector() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], check=False, capture_output=True, text=True, timeout=60
    )

    assert done.stdout == "True\n", done.stderr
