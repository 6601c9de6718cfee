"""Lists the pages, each with its address."""

from mousetrap.dashboard.pages import (
    about,
    audit,
    dead,
    letter,
    limits,
    operations,
    overview,
    pipelines,
    queues,
    rerun,
    run,
    runs,
    runs_bulk,
    schedules,
    search,
    start,
    workers,
)

_PAGES = (
    *about.ROUTES,
    *audit.ROUTES,
    *dead.ROUTES,
    *letter.ROUTES,
    *limits.ROUTES,
    *operations.ROUTES,
    *overview.ROUTES,
    *pipelines.ROUTES,
    *queues.ROUTES,
    *rerun.ROUTES,
    *run.ROUTES,
    *runs.ROUTES,
    *runs_bulk.ROUTES,
    *schedules.ROUTES,
    *search.ROUTES,
    *start.ROUTES,
    *workers.ROUTES,
)
#: In the order in which addresses are matched: /runs/cancel is no run, so what is fixed comes first.
ROUTES = tuple(sorted(_PAGES, key=lambda it: it.path.count("{")))
