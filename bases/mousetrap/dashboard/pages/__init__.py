"""Lists the pages, each with its address."""

from mousetrap.dashboard.pages import workers

#: In the order in which addresses are matched.
ROUTES = (*workers.ROUTES,)
