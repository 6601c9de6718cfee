"""Makes HTTP clients for servers without TLS."""

import ssl
from typing import Any

import httpx

#: Trusts no one. httpx would load the system's authorities for each client: 25 ms, more than most requests take.
NO_ONE = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def http_client(url: str, **options: Any) -> httpx.Client:
    """A client of the server at `url`; it waits 60 seconds unless `timeout` is among httpx's options."""
    return httpx.Client(base_url=url, verify=NO_ONE, **{"timeout": 60, **options})
