"""Lists the pages, each with its address."""

from mousetrap.dashboard.pages import pipelines, run, workers

#: In the order in which addresses are matched.
ROUTES = (
    *pipelines.ROUTES,
    *run.ROUTES,
    *workers.ROUTES,
)
