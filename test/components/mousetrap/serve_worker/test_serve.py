"""A wrong setting of a worker is reported before anything opens."""

import pytest

from mousetrap.serve_worker import serve_worker
from mousetrap.worker_flags import WorkerFlags


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
    code = serve_worker(never, [], {"MOUSETRAP_CONCURRENCY": "3"}, WorkerFlags(concurrency=0))  # type: ignore[arg-type]

    assert code == 2
    assert "MOUSETRAP_CONCURRENCY" in capsys.readouterr().err
