"""Opens the client that an address asks for."""

import ssl

from mousetrap.store_client.address import Address
from mousetrap.store_client.client import StoreClient
from mousetrap.store_client.cluster import ClusterClient
from mousetrap.store_client.connection import Server

#: The API must report within two seconds that the store is away.
_CONNECT_TIMEOUT_S = 1.0
_REPLY_TIMEOUT_S = 1.5


def open_client(url: str, tls: ssl.SSLContext | None) -> StoreClient:
    """A client that connects when first used; `tls` replaces the default context of a TLS address.

    Several hosts are those of a cluster.
    """
    servers = [Server(at, tls, "", _CONNECT_TIMEOUT_S, _REPLY_TIMEOUT_S) for at in Address.parse_all(url)]
    return StoreClient(servers[0]) if len(servers) == 1 else ClusterClient(servers)


def address(url: str) -> str:
    """The server's host and port, or its socket, without any password; of a cluster those of all hosts that it names."""
    return ",".join(map(str, Address.parse_all(url)))
