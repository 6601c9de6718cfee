"""Binds process_data, and saves each summary once."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial

from mousetrap.earthquakes import EARTHQUAKES, FEEDS, Feed, Summary
from mousetrap.earthquakes_settings import DATABASE
from mousetrap.handlers import Binding, Context
from mousetrap.pipeline import Pipeline
from mousetrap.process_data import compare, count_quiet, process_data, report_strong
from mousetrap.serve_worker import Connect, Groups, worker_main
from mousetrap.settings import Settings, SettingsWrong
from mousetrap.summaries import Summaries, check_address, open_summaries


def run_process_worker(
    connect: Connect, groups: Groups = (DATABASE,), pipelines: Iterable[Pipeline] = ()
) -> int:
    """Serves the stages that summarise and compare feeds until asked to stop; `groups` are all settings that the environment may hold, `pipelines` all
    of the workspace.

    Returns the exit code.
    """
    return worker_main(
        connect,
        [bind_process, bind_count, bind_report, bind_compare],
        "mousetrap-process-worker",
        "Serves the stage `process` of earthquakes, and `count`, `report` and `compare` of feeds, until asked to stop.",
        groups,
        pipelines,
    )


def bind_process(settings: Settings) -> Binding:
    """The stage `process`, with its database open. Raises SettingsWrong for an unsupported address."""
    url = settings.of(DATABASE).url
    try:
        check_address(url)
    except ValueError as error:
        raise SettingsWrong(f"MOUSETRAP_DATABASE_URL: {error}") from None

    lifespan = partial(_database, url)
    return Binding(pipeline=EARTHQUAKES, stage="process", handler=_process, lifespan=lifespan)


def bind_count(_: Settings) -> Binding:
    """The stage `count`, which quiet feeds come to."""
    return Binding(pipeline=FEEDS, stage="count", handler=count_quiet)


def bind_report(_: Settings) -> Binding:
    """The stage `report`, which the others come to."""
    return Binding(pipeline=FEEDS, stage="report", handler=report_strong)


def bind_compare(_: Settings) -> Binding:
    """The stage `compare`, which joins them."""
    return Binding(pipeline=FEEDS, stage="compare", handler=compare)


@asynccontextmanager
async def _database(url: str) -> AsyncIterator[Summaries]:
    with open_summaries(url) as summaries:
        yield summaries


def _process(feed: Feed, context: Context[Summaries]) -> Summary:
    summary = process_data(feed)
    context.deps.save(context.idempotency_key, context.run_id, summary)
    return summary
