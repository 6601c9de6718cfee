"""Checks the options of every worker's command line."""

import subprocess

import pytest

from mousetrap.catalogue import WORKERS
from mousetrap.worker_flags import AUTO_KILL, BURST, CONCURRENCY, PREFETCH, Span, WorkerFlags
from support.processes import base_command, clean_environment

_PROGRAMS = [(worker.program.removeprefix("mousetrap."),) for worker in WORKERS.values() if worker.program]
FLAGS = (CONCURRENCY, PREFETCH, AUTO_KILL, BURST)


@pytest.mark.parametrize(
    ("flags", "settings"),
    [
        (WorkerFlags(), {}),
        (WorkerFlags(burst=True), {}),
        (
            WorkerFlags(concurrency=Span(3)),
            {"MOUSETRAP_CONCURRENCY": "3", "MOUSETRAP_CONCURRENCY_MOST": "0"},
        ),
        (
            WorkerFlags(concurrency=Span(2, 50)),
            {"MOUSETRAP_CONCURRENCY": "2", "MOUSETRAP_CONCURRENCY_MOST": "50"},
        ),
        (WorkerFlags(prefetch=0), {"MOUSETRAP_PREFETCH": "0"}),
        (WorkerFlags(auto_kill=2.5), {"MOUSETRAP_AUTO_KILL_SECONDS": "2.5"}),
    ],
)
def test_only_chosen_options_override_a_setting(flags: WorkerFlags, settings: dict[str, str]) -> None:
    assert flags.settings() == settings


@pytest.mark.parametrize(("text", "span"), [("4", Span(4)), ("2..50", Span(2, 50)), ("3..3", Span(3, 3))])
def test_a_concurrency_is_a_number_or_the_least_and_the_most(text: str, span: Span) -> None:
    assert Span.parse(text) == span
    assert str(span) == text


@pytest.mark.parametrize("text", ["0", "-1", "5..2", "0..3", "..3", "3..", "a", "1..2..3", ""])
def test_what_is_no_concurrency_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write a number from 1 on"):
        Span.parse(text)


@pytest.mark.slow
@pytest.mark.parametrize("command", [*_PROGRAMS, ("cli", "worker")])
def test_every_program_has_the_same_options_with_the_same_help(command: tuple[str, ...]) -> None:
    text = subprocess.check_output(
        base_command(*command, "--help"), env=clean_environment(COLUMNS="300"), text=True, timeout=60
    )

    words = " ".join(text.split())
    for flag in FLAGS:
        assert flag.option in words
        assert flag.help in words
