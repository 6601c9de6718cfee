"""Sends requests to public addresses only."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import httpx

from mousetrap.earthquakes import FeedRefused, FeedUnavailable
from mousetrap.fetch_data.public import is_public

#: The IP addresses of a host and port.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_PORTS = {"http": 80, "https": 443}


class Guard(httpx.AsyncBaseTransport):
    """A transport that resolves each request's host once, checks every address, and connects to a checked one.

    The connection is made to the address and not to the name, so a name that resolves differently in between has no effect;
    the Host header and TLS still carry the name. Raises FeedRefused, or FeedUnavailable when the name has no address now.
    """

    def __init__(self, allowed: frozenset[str], resolve: Resolve) -> None:
        self._allowed = frozenset(name.lower() for name in allowed)
        self._resolve = resolve
        # Connections are not kept: they would be pooled by address, and TLS checked them for one name only.
        self._inner = httpx.AsyncHTTPTransport(
            trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        *others, last = await self._checked_addresses(request.url)
        for address in others:
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._inner.handle_async_request(_pinned(request, address))
        return await self._inner.handle_async_request(_pinned(request, last))

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _checked_addresses(self, url: httpx.URL) -> Sequence[str]:
        """The addresses of the URL's host, all of them allowed."""
        if url.scheme not in _PORTS or not url.host:
            raise FeedRefused(f"{shown(url)} is not an http or https address: give one")
        if url.userinfo:
            raise FeedRefused(f"{shown(url)} carries a user name or a password: leave them out")
        port = url.port or _PORTS[url.scheme]
        addresses = await self._addresses(url, port)
        if _names(url.host, port).isdisjoint(self._allowed) and not all(map(is_public, addresses)):
            raise FeedRefused(
                f"{shown(url)} points to a private network, or to no public address: "
                "give a public one, or name its host in MOUSETRAP_FETCH_ALLOW of the fetch worker"
            )
        return addresses

    async def _addresses(self, url: httpx.URL, port: int) -> Sequence[str]:
        try:
            addresses = await self._resolve(url.raw_host.decode("ascii"), port)
        except UnicodeError:
            raise FeedRefused(f"{shown(url)} has an invalid host: correct the address") from None
        except OSError as error:
            raise FeedUnavailable(
                f"{shown(url)} has a host that does not resolve: {error.strerror}"
            ) from None
        if not addresses:
            raise FeedUnavailable(f"{shown(url)} has a host without an address")
        return addresses


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses that the system's resolver gives, each once, in its order of preference."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def shown(url: httpx.URL) -> str:
    """The URL as errors may show it: without user, query and fragment, which hold secrets, and not too long."""
    return str(url.copy_with(userinfo=b"", query=None, fragment=None))[:200]


def _pinned(request: httpx.Request, address: str) -> httpx.Request:
    """The same request, sent to `address`; TLS still requests and checks the host's name."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode("ascii")},
    )


def _names(host: str, port: int) -> frozenset[str]:
    """The forms in which `FetchBounds.allowed` may name the place."""
    bracketed = f"[{host}]" if ":" in host else host
    return frozenset({host, bracketed, f"{bracketed}:{port}"})
