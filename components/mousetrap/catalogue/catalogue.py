"""The catalogue: add your pipelines and workers here."""

from collections.abc import Mapping, Sequence
from typing import Any

from mousetrap.catalogue_entries import Worker
from mousetrap.earthquakes import EARTHQUAKES, FEEDS
from mousetrap.earthquakes_settings import DATABASE, FEED, FETCH
from mousetrap.pipeline import Pipeline
from mousetrap.settings import Group

#: Every pipeline by its name: the API offers these, and their queues are declared.
PIPELINES: Mapping[str, Pipeline] = {pipeline.name: pipeline for pipeline in (EARTHQUAKES, FEEDS)}

#: The groups of settings of all bricks beside the engine's: every process reads and checks them.
SETTINGS: Sequence[Group[Any]] = (FEED, FETCH, DATABASE)

# All below are names ("module:object") that are imported when they are needed: a process loads no library of another.

#: By the name that `mousetrap worker` takes; `mousetrap up` starts each.
WORKERS: Mapping[str, Worker] = {
    "fetch": Worker(
        (
            "mousetrap.run_fetch_worker:bind_fetch",
            "mousetrap.run_fetch_worker:bind_list_feeds",
            "mousetrap.run_fetch_worker:bind_fetch_feeds",
        ),
        "mousetrap.fetch_worker",
    ),
    "process": Worker(
        (
            "mousetrap.run_process_worker:bind_process",
            "mousetrap.run_process_worker:bind_count",
            "mousetrap.run_process_worker:bind_report",
            "mousetrap.run_process_worker:bind_compare",
        ),
        "mousetrap.process_worker",
    ),
}

#: By pipeline, what an empty body means where a setting changes it: takes the settings, returns JSON.
INPUTS: Mapping[str, str] = {
    "earthquakes": "mousetrap.earthquakes_settings:default_input",
    "feeds": "mousetrap.earthquakes_settings:default_feeds_input",
}

#: What starts pipelines by itself: each names a `Schedule`, or several. The API records them when it starts, and pauses those that are
#: not here any more.
SCHEDULES: Sequence[str] = ()

#: The pipeline that `POST /refresh` starts and `GET /` shows; None for no such paths.
ROOT_PIPELINE: str | None = "earthquakes"

#: By pipeline, what draws a result for the terminal: takes the result, returns None for one that it cannot draw.
RENDERERS: Mapping[str, str] = {
    "earthquakes": "mousetrap.earthquakes_tables:draw_result",
    "feeds": "mousetrap.earthquakes_tables:draw_comparison",
}

#: By pipeline, what opens its own record of results, which the API reads once the run store has forgotten the run: takes the
#: settings, returns a `Record`, which changes nothing.
RECORDS: Mapping[str, str] = {"earthquakes": "mousetrap.summaries:open_record"}

#: Steps of `mousetrap migrate` by name: each takes the settings, may be repeated, and returns what is there now.
MIGRATIONS: Mapping[str, str] = {"database": "mousetrap.summaries:migrate"}

#: What `mousetrap demo` runs and `mousetrap up` suggests: a context manager of the stack's folder, its settings and the names of
#: those that were given. None for nothing.
SAMPLE: str | None = "mousetrap.earthquakes_sample:local_week"
