"""Translates a server's refusals, and its absence."""

from collections.abc import Iterator
from contextlib import contextmanager

from mousetrap.jobs import StoreFull, StoreUnreachable

#: Codes of a server that cannot serve now: it loads its data, lost its primary, or is a replica since a failover.
_UNFIT = frozenset(("LOADING", "MASTERDOWN", "READONLY", "CLUSTERDOWN"))
#: That of the keys of one command: some of them have moved to another server of the cluster.
_KEYS_MOVE = "TRYAGAIN"
#: The refusal of one that has as many clients as it may: it hangs up then.
_FULL = "max number of clients"
#: Codes of a server that takes no writes now: its memory or its disk is full.
_NO_WRITES = frozenset(("OOM", "MISCONF"))
#: What these refusals come from.
_MEANING = {
    "READONLY": "it is a replica: name the primary, or an address that follows it",
    "MOVED": "it is one of a cluster: name several of its servers, with commas between their hosts",
    "ASK": "it is one of a cluster: name several of its servers, with commas between their hosts",
}


class ReplyError(Exception):
    """The server's refusal of a command. As text it is the server's, without the general `ERR`."""

    @property
    def code(self) -> str:
        """The first word, which names the kind: `ERR`, `OOM`, `WRONGTYPE`, `NOSCRIPT`, …"""
        return str(self.args[0]).partition(" ")[0]

    @property
    def unfit(self) -> bool:
        """Whether the server cannot serve now, whatever the command."""
        return self.code in _UNFIT or str(self).startswith(_FULL)

    @property
    def full(self) -> bool:
        """Whether the server takes no writes now."""
        return self.code in _NO_WRITES

    @property
    def passing(self) -> bool:
        """Whether the same command may be done later."""
        return self.unfit or self.code == _KEYS_MOVE

    def __str__(self) -> str:
        return str(self.args[0]).removeprefix("ERR ")


class ConnectionLost(ConnectionError):
    """The connection ended before the reply: the command may have happened or not."""


def unreachable(place: str, error: Exception | str) -> StoreUnreachable:
    """The StoreUnreachable for an error of the client or the server; StoreFull if the store has no room."""
    # An error raised in a Lua function has the function's line after the server's text.
    reason = str(error).rstrip(".")
    code = reason.partition(" ")[0]
    if code == "OOM":
        return StoreFull(
            f"the store at {place} is full, it holds as much as its maxmemory allows: give it more memory, "
            "or remember runs for a shorter time (MOUSETRAP_RETENTION_SECONDS)"
        )
    if code == "MISCONF":
        return StoreFull(
            f"the store at {place} takes no writes, most often because its disk is full: {reason}"
        )
    if meaning := _MEANING.get(code):
        return StoreUnreachable(f"cannot use the store at {place}: {meaning} ({reason})")
    return StoreUnreachable(f"cannot reach the store at {place}: {reason}")


@contextmanager
def reaching(place: str) -> Iterator[None]:
    """Translates the client's errors in this block to StoreUnreachable."""
    try:
        yield
    except (ReplyError, OSError) as error:  # TimeoutError and lost connections are OSErrors
        raise unreachable(place, error) from error
