"""Finds what a worker serves: workers of the catalogue, and targets."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mousetrap.api_client import Misused

if TYPE_CHECKING:
    from mousetrap.discovery import Discovered
    from mousetrap.handlers import Binding
    from mousetrap.pipeline import Pipeline, Stage
    from mousetrap.serve_worker import Binder
    from mousetrap.settings import Settings


def binders_of(names: Sequence[str], settings: "Settings") -> "Sequence[Binder]":
    """Those of the catalogue's workers and the targets in `names`, or in MOUSETRAP_MODULES where there are none.

    Prints what the targets have and what could not be loaded. Raises Misused where there is nothing to serve, and where a
    target itself failed: a worker without it would leave its jobs waiting.
    """
    from mousetrap.catalogue import WORKERS
    from mousetrap.catalogue_entries import load

    chosen = names or given_modules(settings)
    if not chosen:
        raise Misused(
            f"name the workers to run ({', '.join(WORKERS)}), or a file or module with tasks, as words.py; without any, "
            "MOUSETRAP_MODULES names them"
        )
    entries = [WORKERS[name] for name in dict.fromkeys(chosen) if name in WORKERS]
    targets = [name for name in chosen if name not in WORKERS]
    targets += [module for entry in entries for module in entry.modules]
    binders = [load(binder) for entry in entries for binder in entry.binders]
    return (*binders, *map(_binder, _bindings_of(targets))) if targets else binders


def given_modules(settings: "Settings") -> Sequence[str]:
    """The targets of MOUSETRAP_MODULES."""
    return [target.strip() for target in settings.modules.split(",") if target.strip()]


def targets_beside(modules: "Sequence[str] | None", settings: "Settings") -> Sequence[str]:
    """`modules`, or the targets of MOUSETRAP_MODULES where there are none; without workers of the catalogue."""
    from mousetrap.catalogue import WORKERS

    return [target for target in modules or given_modules(settings) if target not in WORKERS]


def listed_modules() -> Sequence[str]:
    """The modules with tasks of the catalogue's workers."""
    from mousetrap.catalogue import WORKERS

    return [module for worker in WORKERS.values() for module in worker.modules]


def describe(discovered: "Discovered") -> Iterator[str]:
    """What was found, a line for each pipeline, and what was not loaded, with the reason."""
    from mousetrap.cli.graph_line import graph_line
    from mousetrap.schedules import words

    for name, pipeline in discovered.pipelines.items():
        served = {binding.stage_name for binding in discovered.bindings if binding.pipeline.name == name}
        labels = {stage.name: _label(stage, is_served=stage.name in served) for stage in pipeline.stages}
        yield f"found {name}: {graph_line(pipeline, labels.__getitem__)}"
    for schedule in discovered.schedules:
        yield f"found schedule {schedule.name} of {schedule.pipeline}: {words(schedule)}"
    for schedule in discovered.other_schedules:
        yield f"left out schedule {schedule.name}: its pipeline {schedule.pipeline} is not found here; a worker that has it is to declare it"
    for failure in discovered.failures:
        yield f"not loaded: {failure}"


def _label(stage: "Stage", *, is_served: bool) -> str:
    """Its name, and what a reader does not expect: that its queue has another one, and that it is not served here."""
    facts = [f"queue {stage.queue}"] * (stage.queue != stage.name) + ["not served here"] * (not is_served)
    return f"{stage.name} ({', '.join(facts)})" if facts else stage.name


def pipelines_of(targets: Sequence[str]) -> "Sequence[Pipeline]":
    """Those of the targets. Raises Misused as `binders_of` does."""
    return tuple({it.pipeline.name: it.pipeline for it in _bindings_of(targets)}.values()) if targets else ()


def _bindings_of(targets: Sequence[str]) -> "Sequence[Binding]":
    from mousetrap.catalogue import WORKERS
    from mousetrap.cli.output import print_line
    from mousetrap.discovery import discover

    discovered = discover(targets)
    for line in describe(discovered):
        print_line(f"mousetrap: {line}", error=True)
    failed = sorted({failure.target for failure in discovered.failures if failure.explicit})
    if failed:
        raise Misused(
            f"nothing was done, for {', '.join(failed)} could not be loaded; the catalogue has the workers {', '.join(WORKERS)}"
        )
    if not discovered.bindings:
        raise Misused(f"there is no task, chain or binding in {', '.join(targets)}: nothing to serve")
    return discovered.bindings


def _binder(binding: "Binding") -> "Binder":
    return lambda _: binding
