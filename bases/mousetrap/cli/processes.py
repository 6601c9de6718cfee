"""Runs a worker in several processes, or again after each change."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from mousetrap.cli.output import print_line
from mousetrap.cli.session import read_settings
from mousetrap.cli.targets import given_modules
from mousetrap.local_stack import Program, run_processes, watch_files
from mousetrap.worker_flags import AUTO_KILL, BURST, CONCURRENCY, PREFETCH, WorkerFlags

#: A process under a supervisor logs there, and finds its settings in the environment.
_PORT = "MOUSETRAP_HEALTH_PORT"


def run_in_processes(
    targets: Sequence[str], flags: WorkerFlags, environ: Mapping[str, str], count: int, *, reload: bool
) -> int:
    """Runs `mousetrap worker` so many times, and returns the exit code for all. Raises SettingsWrong."""
    settings = read_settings({**environ, **flags.settings()})
    program = Program(
        words=["mousetrap.cli", "worker", *_options(flags), "--", *targets],
        environments=[{**environ, **_port(settings.health_port, number)} for number in range(count)],
        grace_s=settings.grace_seconds,
    )
    watch = partial(watch_files, _folders(targets or given_modules(settings))) if reload else None
    return run_processes(program, partial(print_line, error=True), watch)


def _options(flags: WorkerFlags) -> Sequence[str]:
    chosen = (
        (CONCURRENCY, flags.concurrency),
        (PREFETCH, flags.prefetch),
        (AUTO_KILL, flags.auto_kill),
    )
    given = [f"{flag.option}={value}" for flag, value in chosen if value is not None]
    return [*given, BURST.option] if flags.burst else given


def _port(given: str, number: int) -> Mapping[str, str]:
    """Each process has a port of its own: the one that was given, and those after it; 0 is a free one for each."""
    return {_PORT: str(int(given) + number)} if given and int(given) else {}


def _folders(targets: Sequence[str]) -> Sequence[Path]:
    """This folder, and those of targets that are elsewhere."""
    here = Path.cwd()
    places = [Path(target.partition(":")[0]).absolute() for target in targets if os.sep in target]
    folders = [place if place.is_dir() else place.parent for place in places if place.exists()]
    return [here, *(it for it in dict.fromkeys(folders) if not it.is_relative_to(here))]
