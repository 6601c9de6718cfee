"""Finds or starts the Valkey that tests run against."""

import hashlib
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from redis import Redis
from redis.cluster import RedisCluster

from mousetrap.embedded_valkey import EmbeddedValkey
from support.ports import free_ports

_ADMINISTRATOR, _PASSWORD = "administrator", "for-the-tests-alone"


class OwnValkey(EmbeddedValkey):
    """The embedded server, with one more user: tests empty it, fill it up, and look at everything in it.

    It leaves to the system when what it wrote goes to the disk: a kill of the server costs nothing of that, and a busy machine's
    disk keeps a reply for seconds.
    """

    def __init__(self, directory: Path) -> None:
        (port,) = free_ports(1)
        super().__init__(directory, port=port)

    def start(self) -> None:
        super().start()
        with _client(self.url) as client:
            client.config_set("appendfsync", "no")

    def users(self) -> list[str]:
        digest = hashlib.sha256(_PASSWORD.encode()).hexdigest()
        return [*super().users(), f"user {_ADMINISTRATOR} on #{digest} ~* &* +@all"]


class _Cluster(RedisCluster):
    """A client of a cluster that closes its connections: the library leaves them to the collector, which then warns in any test."""

    def close(self) -> None:
        self.disconnect_connection_pools()  # type: ignore[no-untyped-call]
        super().close()


class GivenValkey:
    """A server that others run; the database that its address names must be empty, for tests empty it."""

    def __init__(self, url: str) -> None:
        self.url = url
        with _client(url) as client:
            if client.dbsize():
                raise AssertionError(
                    "MOUSETRAP_TEST_STORE_URL names a database that holds data, and tests would delete them: "
                    "name an empty one, as in valkey://host:6379/9"
                )


def empty(url: str) -> None:
    """Deletes what the database holds."""
    with _client(url) as client:
        client.flushdb()


def end_consumers(url: str) -> None:
    """Ends all consumers of embedded queues at once, as the five seconds do in which a dead one has not renewed its key."""
    with _client(url) as client:
        for key in client.scan_iter("mousetrap:consumer:*"):
            client.delete(key)


def administrator(url: str) -> str:
    """The address of the same database for a user who may do everything, in the client's scheme, which is of old."""
    parts = urlsplit(url.replace("valkey", "redis", 1))
    if parts.username != "mousetrap":
        return parts.geturl()
    netloc = f"{_ADMINISTRATOR}:{_PASSWORD}@{parts.hostname}:{parts.port}"
    return parts._replace(netloc=netloc).geturl()


def console(url: str) -> Redis:
    """A client that may look at everything in a store, be it a cluster."""
    login, _, hosts = url.rpartition("@")
    if "," not in hosts:
        return _client(url)
    one = administrator(f"{login}@{hosts.partition(',')[0]}/0")
    return cast(Redis, _Cluster.from_url(one))


def names(url: str, pattern: str) -> list[str]:
    """The keys that match, on all servers of a cluster."""
    with console(url) as client:
        options = {"target_nodes": RedisCluster.PRIMARIES} if isinstance(client, RedisCluster) else {}
        found: Any = client.keys(pattern, **options)
    return sorted(key.decode() for key in found)


def _client(url: str) -> Redis:
    return Redis.from_url(administrator(url))
