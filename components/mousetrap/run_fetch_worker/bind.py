"""Binds fetch_data, within the bounds of the settings."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import cache, partial

from mousetrap.earthquakes import (
    EARTHQUAKES,
    FEEDS,
    Feed,
    FeedRequest,
    FeedsRequest,
    QuietFeed,
    StrongFeed,
    default_feeds,
    default_request,
)
from mousetrap.earthquakes_settings import FEED, FETCH
from mousetrap.fetch_data import FetchBounds, Fetcher, fetch_data, open_fetcher, quiet_or_strong
from mousetrap.handlers import Binding, Context
from mousetrap.pipeline import Pipeline
from mousetrap.serve_worker import Connect, Groups, worker_main
from mousetrap.settings import Settings


def run_fetch_worker(
    connect: Connect, groups: Groups = (FEED, FETCH), pipelines: Iterable[Pipeline] = ()
) -> int:
    """Serves the stages that list and fetch feeds until asked to stop; `groups` are all settings that the environment may hold, `pipelines` all
    of the workspace.

    Returns the exit code.
    """
    return worker_main(
        connect,
        [bind_fetch, bind_list_feeds, bind_fetch_feeds],
        "mousetrap-fetch-worker",
        "Serves the stage `fetch` of earthquakes, and `list` and `fetch` of feeds, until asked to stop.",
        groups,
        pipelines,
    )


def bind_fetch(settings: Settings) -> Binding:
    """The stage `fetch`, within the bounds that the settings give."""
    default = default_request(settings.of(FEED).url)

    async def fetch(request: FeedRequest, context: Context[Fetcher]) -> Feed:
        return await fetch_data(request if request.url else default, context.deps, context.progress)

    return Binding(pipeline=EARTHQUAKES, stage="fetch", handler=fetch, lifespan=_opening(_bounds(settings)))


def bind_list_feeds(settings: Settings) -> Binding:
    """The stage `list` of feeds; the setting names those of a request without any."""
    default = default_feeds(settings.of(FEED).urls)

    def list_feeds(request: FeedsRequest) -> Iterator[FeedRequest]:
        return map(FeedRequest, dict.fromkeys(request.urls or default.urls))

    return Binding(pipeline=FEEDS, stage="list", handler=list_feeds)


def bind_fetch_feeds(settings: Settings) -> Binding:
    """The stage `fetch` of feeds, within the same bounds."""
    lifespan = _opening(_bounds(settings))
    return Binding(pipeline=FEEDS, stage="fetch", handler=_fetch_feed, lifespan=lifespan)


async def _fetch_feed(request: FeedRequest, context: Context[Fetcher]) -> QuietFeed | StrongFeed:
    return quiet_or_strong(await fetch_data(request, context.deps, context.progress))


def _bounds(settings: Settings) -> FetchBounds:
    given = settings.of(FETCH)
    return FetchBounds(
        total=given.seconds,
        max_bytes=given.max_bytes,
        allowed=frozenset(filter(None, map(str.strip, given.allow.split(",")))),
    )


@cache
def _opening(bounds: FetchBounds) -> Callable[[], AbstractAsyncContextManager[Fetcher]]:
    """One for equal bounds: a worker enters a lifespan that its stages share once."""
    return partial(open_fetcher, bounds)
