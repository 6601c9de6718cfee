"""Binds fetch_data, within the bounds of the settings."""

from collections.abc import Iterable

from mousetrap.earthquakes import EARTHQUAKES, Feed, FeedRequest, default_request
from mousetrap.earthquakes_settings import FEED, FETCH
from mousetrap.fetch_data import FetchBounds, Fetcher, fetch_data, open_fetcher
from mousetrap.handlers import Binding, Context
from mousetrap.pipeline import Pipeline
from mousetrap.serve_worker import Connect, Groups, worker_main
from mousetrap.settings import Settings


def run_fetch_worker(
    connect: Connect, groups: Groups = (FEED, FETCH), pipelines: Iterable[Pipeline] = ()
) -> int:
    """Serves `start_fetch` until asked to stop; `groups` are all settings that the environment may hold, `pipelines` all
    of the workspace.

    Returns the exit code.
    """
    return worker_main(
        connect,
        [bind_fetch],
        "mousetrap-fetch-worker",
        "Serves the stage `fetch` of earthquakes (queue start_fetch) until asked to stop.",
        groups,
        pipelines,
    )


def bind_fetch(settings: Settings) -> Binding:
    """The stage `fetch`, within the bounds that the settings give."""
    given = settings.of(FETCH)
    bounds = FetchBounds(
        total=given.seconds,
        max_bytes=given.max_bytes,
        allowed=frozenset(filter(None, map(str.strip, given.allow.split(",")))),
    )
    default = default_request(settings.of(FEED).url)

    async def fetch(request: FeedRequest, context: Context[Fetcher]) -> Feed:
        return await fetch_data(request if request.url else default, context.deps, context.progress)

    return Binding(pipeline=EARTHQUAKES, stage="fetch", handler=fetch, lifespan=lambda: open_fetcher(bounds))
