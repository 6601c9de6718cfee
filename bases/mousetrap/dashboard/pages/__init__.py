"""Lists the pages, each with its address."""

from mousetrap.dashboard.pages import run, workers

#: In the order in which addresses are matched.
ROUTES = (
    *run.ROUTES,
    *workers.ROUTES,
)
