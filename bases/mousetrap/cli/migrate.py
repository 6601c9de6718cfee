"""The command `migrate`: makes queues, and what the catalogue's migrations make."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from mousetrap.cli.session import environment

if TYPE_CHECKING:
    from mousetrap.cli.checks import Check
    from mousetrap.pipeline import Pipeline
    from mousetrap.settings import Settings


def migrate(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET", help="Files, folders, modules or packages with tasks, as `worker` takes."
        ),
    ] = None,
) -> None:
    """Make the queues and the database table that the other processes need. Exits 1 when something could not be made.

    Queues of targets, or of MOUSETRAP_MODULES, are made as well.
    """
    from mousetrap.catalogue import MIGRATIONS
    from mousetrap.catalogue_entries import load
    from mousetrap.cli.output import terminal
    from mousetrap.cli.session import read_settings
    from mousetrap.cli.tables.checks import checks_table
    from mousetrap.cli.targets import given_modules, pipelines_of

    settings = read_settings(environment())
    others = pipelines_of(targets or given_modules(settings))
    steps = {
        "queues": partial(_make_queues, others),
        **{name: load(migration) for name, migration in MIGRATIONS.items()},
        "store": _check_store,
    }
    # All steps run, whatever fails, so that everything that is wrong is reported at once.
    checks = [_outcome(name, step, settings) for name, step in steps.items()]
    terminal().print(checks_table(checks))
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(1)


def _outcome(name: str, step: "Callable[[Settings], str]", settings: "Settings") -> "Check":
    from mousetrap.cli.checks import Check
    from mousetrap.jobs import MousetrapError

    try:
        return Check(name, "ok", step(settings))
    except MousetrapError as error:
        return Check(name, "fail", str(error))


def _make_queues(others: "Sequence[Pipeline]", settings: "Settings") -> str:
    from mousetrap.catalogue import PIPELINES
    from mousetrap.job_queue import make_queues
    from mousetrap.settings import SettingsWrong, masked

    pipelines = (*PIPELINES.values(), *others)
    queues = list(dict.fromkeys(stage.queue for pipeline in pipelines for stage in pipeline.stages))
    try:
        make_queues(settings, queues)
    except ValueError as error:
        raise SettingsWrong(f"MOUSETRAP_BROKER_URL: {error}") from error
    return f"{', '.join(queues)} and what goes with them are at {masked(settings.broker_url)}"


def _check_store(settings: "Settings") -> str:
    import asyncio

    from mousetrap.cli.probes import store_info
    from mousetrap.settings import masked

    info = asyncio.run(store_info(settings))
    return f"{masked(settings.store_url)} answers ({info.server}); it needs nothing made"
