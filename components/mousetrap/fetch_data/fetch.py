"""Fetches a feed: requests, follows redirects, reads, parses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from mousetrap.earthquakes import Feed, FeedRefused, FeedRequest, FeedUnavailable
from mousetrap.fetch_data.body import Progress, read_body
from mousetrap.fetch_data.bounds import FetchBounds
from mousetrap.fetch_data.feed import read_feed
from mousetrap.fetch_data.guard import Guard, Resolve, resolve, shown
from mousetrap.fetch_data.status import check_status

#: Wait for one address of a host before the next one is tried.
_CONNECT_TIMEOUT_S = 5.0
_HEADERS = {
    "User-Agent": "mousetrap",
    "Accept": "application/geo+json, application/json;q=0.9, */*;q=0.1",
    "Accept-Encoding": "gzip",
}


@dataclass(frozen=True, slots=True)
class Fetcher:
    """An open HTTP client and the bounds that it keeps."""

    client: httpx.AsyncClient
    bounds: FetchBounds


@asynccontextmanager
async def open_fetcher(bounds: FetchBounds, resolve: Resolve = resolve) -> AsyncIterator[Fetcher]:
    """A fetcher for as many feeds as you like, at the same time too; open one per worker."""
    async with httpx.AsyncClient(
        transport=Guard(bounds.allowed, resolve),
        trust_env=False,
        headers=_HEADERS,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=httpx.Timeout(None, connect=_CONNECT_TIMEOUT_S),
    ) as client:
        yield Fetcher(client, bounds)


async def fetch_data(request: FeedRequest, fetcher: Fetcher, progress: Progress | None = None) -> Feed:
    """The feed at the request's address.

    Raises FeedUnavailable when another try may help, after `retry_after` seconds if the server sent that, and FeedRefused when
    none will.
    """
    where = _shown(request.url)
    total = fetcher.bounds.total
    try:
        async with asyncio.timeout(total):
            body = await _get(request.url, fetcher, progress)
    except TimeoutError:
        raise FeedUnavailable(f"{where} has not sent its whole response within {total:g} s") from None
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise FeedUnavailable(f"{where} cannot be reached: {str(error) or 'no connection in time'}") from None
    except httpx.HTTPError as error:  # its text may quote what the server sent
        raise FeedUnavailable(
            f"{where} broke the connection, or does not use HTTP ({type(error).__name__})"
        ) from None
    return read_feed(body, where)


async def _get(url: str, fetcher: Fetcher, progress: Progress | None) -> bytes:
    request = fetcher.client.build_request("GET", url)
    for _ in range(fetcher.bounds.max_redirects + 1):
        response = await fetcher.client.send(request, stream=True)
        try:
            if response.next_request is None:
                check_status(response)
                return await read_body(response, fetcher.bounds, progress)
            request = response.next_request  # unread: a redirect's body may be endless
        finally:
            await response.aclose()
    raise FeedRefused(
        f"{_shown(url)} redirects more than {fetcher.bounds.max_redirects} times: give the last address"
    )


def _shown(url: str) -> str:
    try:
        return shown(httpx.URL(url))
    except httpx.InvalidURL:
        raise FeedRefused("the address is not a URL that can be read: correct it") from None
