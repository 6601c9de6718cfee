"""Lists the pages, each with its address."""

from mousetrap.dashboard.pages import dead, letter, operations, pipelines, run, start, workers

#: In the order in which addresses are matched.
ROUTES = (
    *dead.ROUTES,
    *letter.ROUTES,
    *operations.ROUTES,
    *pipelines.ROUTES,
    *run.ROUTES,
    *start.ROUTES,
    *workers.ROUTES,
)
