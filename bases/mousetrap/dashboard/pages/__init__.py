"""Lists the pages, each with its address."""

from mousetrap.dashboard.pages import (
    dead,
    letter,
    operations,
    pipelines,
    rerun,
    run,
    runs,
    runs_bulk,
    start,
    workers,
)

#: In the order in which addresses are matched.
ROUTES = (
    *runs.ROUTES,
    *runs_bulk.ROUTES,
    *run.ROUTES,
    *dead.ROUTES,
    *letter.ROUTES,
    *operations.ROUTES,
    *pipelines.ROUTES,
    *rerun.ROUTES,
    *run.ROUTES,
    *start.ROUTES,
    *workers.ROUTES,
)
