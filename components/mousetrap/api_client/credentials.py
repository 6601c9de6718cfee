"""Sends a key only where no stranger can read it."""

import ipaddress
import re
from collections.abc import Mapping

import httpx

from mousetrap.api_client.errors import Misused

#: Ends of names that no public server has.
_LOCAL_ENDS = (".localhost", ".local", ".internal", ".lan", ".svc")
#: An address as one number: http://134744072 is 8.8.8.8.
_number = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)


def authorization(url: str, key: str) -> Mapping[str, str]:
    """The header that sends the key, none without one. Raises Misused where it would cross a foreign network in the clear."""
    if not key:
        return {}
    parts = httpx.URL(url)
    if parts.scheme == "http" and not _is_near(parts.host):
        raise Misused(
            f"MOUSETRAP_API_URL is {url}, and MOUSETRAP_API_KEY would be readable on its way to {parts.host}: write https://"
        )
    return {"Authorization": f"Bearer {key}"}


def may_use_proxy(url: str, key: str) -> bool:
    """Whether a proxy of the environment may carry the requests: it would read a key that is not encrypted.

    None can reach this machine's own address.
    """
    parts = httpx.URL(url)
    return not _is_loopback(parts.host) and not (key and parts.scheme == "http")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_near(host: str) -> bool:
    """Whether it is this machine or one of a private network, as containers are; a name without a dot is one there."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return ("." not in host and not _number.fullmatch(host)) or host.endswith(_LOCAL_ENDS)
