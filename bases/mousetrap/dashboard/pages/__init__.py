"""Lists the pages, each with its address."""

from mousetrap.dashboard.pages import dead, letter, operations, pipelines, run, workers

#: In the order in which addresses are matched.
ROUTES = (
    *dead.ROUTES,
    *letter.ROUTES,
    *operations.ROUTES,
    *pipelines.ROUTES,
    *run.ROUTES,
    *workers.ROUTES,
)
