"""Keeps the large payloads of a simulated cluster, breaks and repairs them."""

import re
from collections.abc import Callable
from typing import Any

from mousetrap.payloads import Payloads, StoreBackend
from mousetrap.run_store.decode_run import by_name
from mousetrap.run_store.keys import cluster_payloads_key, payloads_key
from mousetrap.testing.simulation.simulation import RETENTION_S
from mousetrap.testing.simulation.store_server import StoreServer

#: Bytes above which a payload goes by reference: every payload of a large run has more, and no other.
INLINE = 300
_INDEX = "mousetrap:payloads"
#: The key of a run's payloads, on one server and in a cluster.
_KEY = re.compile(r"mousetrap:payloads:(.+)|mousetrap:\{(.+)\}:payloads")


def text_of(run: str) -> str:
    """What makes the payloads of a large run large."""
    return f"{run}, " * 60


def payloads_in(client: Any, now: Callable[[], float]) -> Payloads:
    """The payloads in the simulated store; `now` is the clock, in seconds since 1970."""
    return Payloads(StoreBackend(client, "simulation", RETENTION_S, now), inline=INLINE, now=now)


class PayloadFaults:
    """Breaks payloads in the server, and puts the original ones back."""

    def __init__(self, server: StoreServer) -> None:
        self._server = server
        #: The payloads that were broken, by their run and name.
        self._originals: dict[tuple[str, bytes], bytes] = {}

    def damage(self, run: str, *, altered: bool) -> bool:
        """Alters or removes all payloads that a run has now. Returns False if it has none."""
        key = self._key(run)
        found = self._server.command("HGETALL", key)
        for name, data in by_name(found).items():
            self._originals.setdefault((run, name), data)
            if altered:
                self._server.command("HSET", key, name, data.replace(b"run", b"bun"))
            else:
                self._server.command("HDEL", key, name)
        return bool(found)

    def repair(self) -> None:
        """Puts all that was broken back, but for what was swept meanwhile."""
        there = runs_with_payloads(self._server)
        for (run, name), data in self._originals.items():
            if run not in there:
                continue
            self._server.command("HSET", self._key(run), name, data)
            self._server.command("PEXPIRE", self._key(run), int(RETENTION_S * 1000))
        self._originals.clear()

    def _key(self, run: str) -> str:
        in_a_cluster = cluster_payloads_key(run)
        return in_a_cluster if self._server.names(in_a_cluster) else payloads_key(run)


def runs_with_payloads(server: StoreServer) -> set[str]:
    """The runs of which the server has payloads, or thinks so."""
    _, listed = server.command("ZSCAN", _INDEX, 0)
    keys = (_KEY.fullmatch(key) for key in server.names("mousetrap:"))
    return {run.decode() for run in listed[::2]} | {found[1] or found[2] for found in keys if found}
