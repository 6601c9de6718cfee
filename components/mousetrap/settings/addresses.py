"""Checks addresses of servers before anyone goes there; what it says of a wrong one holds no part of its password."""

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import SplitResult, unquote, urlsplit

_PLACEHOLDERS = ("", "change_me", "change-me", "changeme", "guest")
_OWN_MACHINE = ("", "localhost")

_UNREADABLE = (
    "it cannot be read as an address: percent-encode the special characters of its user and password"
)
_PLACEHOLDER = "its password is empty or a placeholder, which will do on this machine alone: choose one, and tell it to the server too"


def check_scheme(url: str, schemes: Sequence[str]) -> None:
    """Raises ValueError for an address that starts with none of them."""
    if url.partition("://")[0] not in schemes:
        raise ValueError(f"write an address that starts with one of: {', '.join(f'{s}://' for s in schemes)}")


def check_address(url: str) -> None:
    """Raises ValueError for hosts that are none, and for a placeholder in place of a password toward another machine."""
    parts = _split(url)
    login, _, netloc = parts.netloc.rpartition("@")
    hosts = [_host(text) for text in netloc.split(",")]
    password = _password(parts.scheme, login)
    if password is None or all(map(_is_own_machine, hosts)):
        return
    if password.casefold() in _PLACEHOLDERS:
        raise ValueError(_PLACEHOLDER)


def _password(scheme: str, login: str) -> str | None:
    """None in an address of those who are let in without one."""
    _, colon, password = login.partition(":")
    if not colon and scheme.startswith("amqp"):
        return "guest"  # what an address of RabbitMQ means that names none
    return unquote(password) if colon else None


def _is_own_machine(host: str) -> bool:
    try:
        return host in _OWN_MACHINE or ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def _host(text: str) -> str:
    try:
        parts = urlsplit(f"//{text}")
        _ = parts.port
    except ValueError:
        raise ValueError(f"{text!r} is not a host or host:port with a port up to 65535") from None
    return parts.hostname or ""


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:  # which quotes what it stumbled over, and that may be the password
        raise ValueError(_UNREADABLE) from None
    # A / in the password makes a path of the rest.
    if parts.netloc and "@" not in parts.netloc and "@" in url:
        raise ValueError(_UNREADABLE)
    return parts
