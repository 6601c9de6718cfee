"""Finds the handler of a job among those that this workspace has."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mousetrap.api_client import CommandFailed, Misused
from mousetrap.catalogue import WORKERS
from mousetrap.catalogue_entries import load
from mousetrap.cli.output import print_line
from mousetrap.cli.session import read_settings
from mousetrap.cli.targets import listed_modules, targets_beside
from mousetrap.discovery import Found, discover
from mousetrap.jobs import Job
from mousetrap.repeat_attempt import Fixture, fixture_of_binder, fixture_of_name

if TYPE_CHECKING:
    from mousetrap.handlers import Binding


def find_handler(job: Job, environ: Mapping[str, str], modules: Sequence[str], folder: Path) -> Fixture:
    """The handler of the job's stage, as a file in `folder` imports it.

    It is one of `modules` where they are given, else one of the catalogue or of MOUSETRAP_MODULES. Raises CommandFailed, with what there is, where there
    is none; what could not be loaded is printed.
    """
    known: list[str] = []
    if modules:
        found = _in_modules(job, modules, folder, known)
    else:
        listed = [*listed_modules(), *targets_beside(None, read_settings(environ))]
        found = _of_binders(job, environ, known) or _in_modules(job, listed, folder, known)
    if found is None:
        raise CommandFailed(
            f"no handler of stage {job.stage} of pipeline {job.pipeline} is known here; there is "
            f"{', '.join(dict.fromkeys(known)) or 'none at all'}. Name its module with --module"
        )
    return found


def _of_binders(job: Job, environ: Mapping[str, str], known: list[str]) -> Fixture | None:
    settings = read_settings(environ)
    for worker in WORKERS.values():
        for binder in worker.binders:
            binding = load(binder)(settings)
            known.append(_name(binding))
            if known[-1] == f"{job.pipeline}.{job.stage}":
                return fixture_of_binder(binder, binding)
    return None


def _in_modules(job: Job, modules: Sequence[str], folder: Path, known: list[str]) -> Fixture | None:
    discovered = discover(modules)
    for failure in discovered.failures:
        print_line(f"mousetrap: {failure}", error=True)
    if not discovered.found and any(failure.explicit for failure in discovered.failures):
        raise Misused(f"nothing could be loaded from {', '.join(modules)}")
    known += map(_name, discovered.bindings)
    found = min(discovered.found, key=lambda it: _distance(it, job), default=None)
    if found is None or _distance(found, job) == _NOT_ITS_STAGE:
        return None
    module, _, name = found.name.rpartition(".")
    return fixture_of_name(module, name, found.value, folder)


_NOT_ITS_STAGE = 9


def _distance(found: Found, job: Job) -> int:
    """The smaller, the better: the stage's own binding before a chain that has the stage."""
    if not any((it.pipeline.name, it.stage_name) == (job.pipeline, job.stage) for it in found.bindings):
        return _NOT_ITS_STAGE
    return min(len(found.bindings), _NOT_ITS_STAGE - 1)


def _name(binding: "Binding") -> str:
    return f"{binding.pipeline.name}.{binding.stage_name}"
