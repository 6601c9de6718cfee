"""Checks the addresses of servers; errors contain no part of a password."""

import re
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_PLACEHOLDERS = ("", "change_me", "change-me", "changeme", "guest")
_OWN_MACHINE = ("", "localhost")

_UNREADABLE = (
    "it cannot be read as an address: percent-encode the special characters of its user and password"
)
_PLACEHOLDER = "its password is empty or a placeholder, which is accepted on this machine only: choose one, and set it on the server too"
#: A DNS name or the name of a container; the latter often has underscores.
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?")
#: Bytes of a virtual host's name in AMQP.
_LONGEST_VHOST = 255
#: What replaces an option that other clients take in an address, by the beginning of its name.
_INSTEAD = {
    "heartbeat": "MOUSETRAP_HEARTBEAT_SECONDS sets the heartbeat",
    "db": "write the number of the database as a path, as in valkey://host:6379/3",
    "ssl": "MOUSETRAP_TLS_CA, MOUSETRAP_TLS_CERTIFICATE and MOUSETRAP_TLS_KEY configure TLS",
    "password": "write the password before the host, as in valkey://user:password@host:6379/0",
    "": "Mousetrap has its own time limits, and tries again until the server is there",
}


def check_scheme(url: str, schemes: Sequence[str]) -> None:
    """Raises ValueError for an address with another scheme."""
    if url.partition("://")[0] not in schemes:
        raise ValueError(f"write an address that starts with one of: {', '.join(f'{s}://' for s in schemes)}")


def check_address(url: str) -> None:
    """Raises ValueError for an invalid host, and for a placeholder as the password of another machine."""
    parts = _split(url)
    login, at, netloc = parts.netloc.rpartition("@")
    hosts = [_host(text, login=bool(at)) for text in netloc.split(",")]
    password = _password(parts.scheme, login)
    if password is None or all(map(_is_own_machine, hosts)):
        return
    if password.casefold() in _PLACEHOLDERS:
        raise ValueError(_PLACEHOLDER)


def is_on_this_machine(url: str) -> bool:
    """Whether all hosts of an address that passed its check are this machine's own, by loopback or a socket.

    A name is another machine, as those of containers are, unless it is localhost.
    """
    netloc = _split(url).netloc.rpartition("@")[2]
    return all(_is_own_machine(_host(text, login=True)) for text in netloc.split(","))


def check_amqp(url: str) -> None:
    """Raises ValueError for an invalid address of RabbitMQ: amqp(s)://user:password@host:port,host:port/vhost."""
    check_address(url)
    parts = _split(url)
    _check_hosts(parts)
    _check_options(url)
    if len(unquote(parts.path).encode(errors="replace")) > _LONGEST_VHOST:
        raise ValueError(f"the name of its virtual host is longer than {_LONGEST_VHOST} bytes")


def check_valkey(url: str) -> None:
    """Raises ValueError for an invalid address of Valkey: valkey(s)://user:password@host:port/database, or unix:///path?db=0."""
    if is_cluster(url):
        raise ValueError("it has several hosts: give one")
    check_store(url)


def check_store(url: str) -> None:
    """As `check_valkey`, or raises it for that of a cluster: valkey(s)://user:password@host:port,host:port."""
    check_address(url)
    parts = _split(url)
    if parts.scheme == "unix":
        return _check_socket(parts)
    _check_hosts(parts)
    if is_cluster(url) and int(parts.path.strip("/") or 0):
        raise ValueError("a cluster, which several hosts stand for, has no numbered databases: leave it out")
    if not re.fullmatch(r"(/[0-9]{0,5})?", parts.path):
        raise ValueError("its path is not the number of a database: write it as in valkey://host:6379/0")
    return _check_options(url)


def check_web(url: str) -> None:
    """Raises ValueError for an invalid address of an API: http(s)://host:port, with a path if a proxy adds one."""
    check_http(url)
    if "?" in url or "#" in url:
        raise ValueError("write an address as http://host:port")


def check_trace_url(url: str) -> None:
    """Raises ValueError for what is no address of a trace."""
    check_scheme(url, ("http", "https"))
    if "{trace_id}" not in url:
        raise ValueError("write where the id goes, as http://jaeger:16686/trace/{trace_id}")


def check_http(url: str) -> None:
    """Raises ValueError for an invalid HTTP address, and for one with a user."""
    check_scheme(url, ("http", "https"))
    parts = _split(url)
    if "@" in parts.netloc:
        raise ValueError("it has a user or a password: leave them out")
    if "," in parts.netloc:
        raise ValueError("it has several hosts: give one")
    _check_hosts(parts)


def check_bucket(url: str) -> None:
    """Raises ValueError for an invalid address of a bucket: s3://bucket, with a prefix or without."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    if "@" in url:
        raise ValueError(
            "it has a user or a password: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"
        )
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
        raise ValueError(
            "write the name of a bucket as in s3://bucket: 3 to 63 small letters, digits, - and ."
        )
    if not re.fullmatch(r"[A-Za-z0-9_./-]{0,512}", prefix) or {"", ".", ".."} & set(
        prefix.strip("/").split("/")[1:]
    ):
        raise ValueError("the prefix behind the bucket's name is of letters, digits, _, -, . and single /")


def check_host(text: str) -> None:
    """Raises ValueError for a text that is neither a host name nor an IP address."""
    if not _is_host(text):
        raise ValueError(f"{text!r} is neither a host name nor an IP address")


def check_places(text: str) -> None:
    """Raises ValueError for an invalid list of host or host:port."""
    for entry in filter(None, map(str.strip, text.split(","))):
        bare = entry.removeprefix("[").removesuffix("]")
        if ":" in bare and _is_host(bare):
            continue  # an IPv6 address, with its brackets or without
        try:
            host = _host(entry, login=True)
        except ValueError:
            host = ""
        if not _is_host(host) or set(entry) & set("/?#@"):
            raise ValueError(f"{entry!r} is not a host or host:port: write names or single IP addresses")


def check_networks(text: str) -> None:
    """Raises ValueError for an invalid list of IP addresses and networks; `*` means all."""
    for entry in filter(None, map(str.strip, text.split(","))):
        try:
            _ = entry == "*" or ip_network(entry, strict=False)
        except ValueError:
            raise ValueError(f"{entry!r} is neither an IP address nor a network such as 10.0.0.0/8") from None


def _check_hosts(parts: SplitResult) -> None:
    _, at, netloc = parts.netloc.rpartition("@")
    for text in netloc.split(","):
        host = _host(text, login=bool(at))
        if not _is_host(host):
            raise ValueError(f"{host!r} is not a host name or an IP address" if host else "it names no host")


def is_cluster(url: str) -> bool:
    """Whether an address that passed its check has several hosts, which are those of one cluster."""
    return "," in _split(url).netloc.rpartition("@")[2]


def _check_socket(parts: SplitResult) -> None:
    if parts.netloc.rpartition("@")[2] or not parts.path.strip("/"):
        raise ValueError("write the path of the socket as in unix:///run/valkey.sock")
    if parts.fragment or not re.fullmatch(r"(db=[0-9]{1,5})?", parts.query):
        raise ValueError("a socket's address takes ?db= and a number, and nothing else")


def _check_options(url: str) -> None:
    if "#" in url:
        raise ValueError(_UNREADABLE)
    if "?" not in url:
        return
    options = [name.lower() for name, _ in parse_qsl(url.partition("?")[2], keep_blank_values=True)]
    advice = next(
        advice
        for name, advice in _INSTEAD.items()
        if not name or any(option.startswith(name) for option in options)
    )
    raise ValueError(f"it takes no options behind a ?: {advice}")


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


def _is_host(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        try:
            name = text.encode("idna").decode("ascii")
        except UnicodeError:  # too long, or with an empty label
            return False
        return len(name) <= 253 and bool(_NAME.fullmatch(name))
    return True


def _host(text: str, *, login: bool) -> str:
    """The host of a host:port, which is quoted in an error only behind a login: else it may be one."""
    try:
        parts = urlsplit(f"//{text}")
        _ = parts.port
        if "[" in text and not re.fullmatch(r"\[[^\[\]]*\](:[0-9]*)?", text):
            raise ValueError  # urlsplit ignores text around the brackets
    except ValueError:
        shown = text if login else text.partition(":")[0]
        raise ValueError(f"{shown!r} is not a host or host:port with a port up to 65535") from None
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
