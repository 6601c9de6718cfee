"""Tests which addresses the fetch worker's manifests let it reach."""

from ipaddress import ip_network
from typing import Any

from mousetrap.fetch_data import public
from support.manifests import PROCESSES, name, ports, ways_out


def test_the_fetch_worker_alone_reaches_the_internet_and_there_no_address_that_it_would_refuse() -> None:
    blocks = {
        name(process): [
            place["ipBlock"]
            for way in ways_out(process)
            for place in way["to"]
            if "ipBlock" in place and 443 in ports(way)
        ]
        for process in PROCESSES
    }
    (open_to,) = [blocks.pop("Deployment fetch-worker")]

    assert not any(blocks.values())
    allowed = [ip_network(block["cidr"]) for block in open_to]
    closed = [ip_network(each) for block in open_to for each in block["except"]]
    refused = [*public._NOT_PUBLIC_V4, *public._NOT_PUBLIC_V6, ip_network("2002::/16")]
    assert {ip_network("0.0.0.0/0"), public._GLOBAL_V6} == set(allowed)
    assert all(any(within(each, one) for one in closed) for each in refused)
    assert all(
        any(within(one, each) for each in refused) for one in closed if one != ip_network("224.0.0.0/3")
    )


def within(network: Any, other: Any) -> bool:
    return bool(network.version == other.version and network.subnet_of(other))
