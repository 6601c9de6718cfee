"""A worker's process says clearly what is wrong with its settings, before it touches anything."""

import pytest

from mousetrap.serve_worker import serve_worker


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

    said = capsys.readouterr().err.splitlines()
    assert (code, len(said)) == (2, 1)
    assert said[0].startswith(complaint)
    assert "sesame" not in said[0]


def test_an_option_wins_over_the_environment_and_is_checked_like_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = serve_worker(never, [], {"MOUSETRAP_CONCURRENCY": "3"}, concurrency=0)  # type: ignore[arg-type]

    assert code == 2
    assert "MOUSETRAP_CONCURRENCY" in capsys.readouterr().err
