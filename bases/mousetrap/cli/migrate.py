"""Makes what the other processes need: queues on the broker, and what the catalogue's migrations make."""

import asyncio
from collections.abc import Callable, Mapping

from mousetrap.catalogue import MIGRATIONS, PIPELINES
from mousetrap.catalogue_entries import load
from mousetrap.cli.checks import Check
from mousetrap.cli.doctor import store_facts
from mousetrap.cli.output import terminal
from mousetrap.cli.settings import read_settings
from mousetrap.cli.tables.checks import checks_table
from mousetrap.job_queue import make_queues
from mousetrap.jobs import MousetrapError
from mousetrap.settings import Settings, SettingsWrong, masked


def migrate(environ: Mapping[str, str]) -> int:
    """The command: 1 when a step failed. Repeating it is always safe, and changes nothing that stands."""
    settings = read_settings(environ)
    steps = {
        "queues": _make_queues,
        **{name: load(migration) for name, migration in MIGRATIONS.items()},
        "store": _ask_store,
    }
    checks = [_taken(name, step, settings) for name, step in steps.items()]
    terminal().print(checks_table(checks))
    return 1 if any(check.state == "fail" for check in checks) else 0


def _taken(name: str, step: Callable[[Settings], str], settings: Settings) -> Check:
    """What came of a step; the others are tried whatever comes of it, so that all that is wrong is seen at once."""
    try:
        return Check(name, "ok", step(settings))
    except MousetrapError as error:
        return Check(name, "fail", str(error))


def _make_queues(settings: Settings) -> str:
    queues = [stage.queue for pipeline in PIPELINES.values() for stage in pipeline.stages]
    try:
        make_queues(settings, queues)
    except ValueError as error:
        raise SettingsWrong(f"MOUSETRAP_BROKER_URL: {error}") from error
    return f"{', '.join(queues)} and what goes with them stand at {masked(settings.broker_url)}"


def _ask_store(settings: Settings) -> str:
    facts = asyncio.run(store_facts(settings))
    return f"{masked(settings.store_url)} answers ({facts.server}); it needs nothing made"
