"""Makes what all other processes need and may not make themselves: queues on the broker, a table in the database."""

import asyncio
from collections.abc import Callable, Mapping

from mousetrap.catalogue import PIPELINES
from mousetrap.cli.checks import Check
from mousetrap.cli.doctor import store_facts
from mousetrap.cli.output import terminal
from mousetrap.cli.tables import checks_table
from mousetrap.job_queue import make_queues
from mousetrap.jobs import MousetrapError
from mousetrap.settings import Settings, SettingsWrong, masked
from mousetrap.summaries import open_summaries


def migrate(environ: Mapping[str, str]) -> int:
    """The command: 1 when a step failed. Repeating it is always safe, and changes nothing that stands."""
    settings = Settings.from_environ(environ)
    steps = {"queues": _make_queues, "database": _make_table, "store": _ask_store}
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


def _make_table(settings: Settings) -> str:
    try:
        with open_summaries(settings.database_url) as summaries:
            kept = summaries.count()
    except ValueError as error:
        raise SettingsWrong(f"MOUSETRAP_DATABASE_URL: {error}") from error
    return f"the table of summaries stands at {masked(settings.database_url).partition('?')[0]}, with {kept} in it"


def _ask_store(settings: Settings) -> str:
    facts = asyncio.run(store_facts(settings))
    return f"{masked(settings.store_url)} answers ({facts.server}); it needs nothing made"
