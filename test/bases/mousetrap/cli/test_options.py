"""Spans of time, as options take them."""

import pytest

from mousetrap.api_client import Misused
from mousetrap.cli import main
from mousetrap.cli.options import seconds
from mousetrap.worker_flags import OTHER_OPTIONS


@pytest.mark.parametrize(
    ("text", "read"),
    [("90", 90), ("90s", 90), ("5m", 300), ("2h", 7_200), ("3d", 259_200), ("0.5s", 0.5), ("1.25h", 4_500)],
)
def test_a_span_is_read_with_its_unit(text: str, read: float) -> None:
    assert seconds("--x", text) == read


@pytest.mark.parametrize("text", ["", "s", "-1s", "5x", "5 m", "1e9", "nan", "5m3s", "٣s"])
def test_what_is_no_span_is_reported_with_its_option(text: str) -> None:
    with pytest.raises(Misused, match=r"^--x .*: write a span of time as"):
        seconds("--x", text)


@pytest.mark.parametrize("option", OTHER_OPTIONS)
def test_an_option_of_another_task_queue_is_refused_with_ours(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for given in ([option, "5"], [f"{option}=5"]):
        assert main(["worker", *given, "file.py"]) == 2
        assert f"{option}: here it is {OTHER_OPTIONS[option]}" in capsys.readouterr().err
