"""Gives stores of either kind, and runs of either family of records."""

from collections.abc import Iterator

import pytest

from mousetrap.embedded_valkey import EmbeddedValkey
from support.valkey import GivenValkey, empty
from support.valkey_cluster import ON_ONE_CLUSTER, ValkeyCluster


@pytest.fixture(params=[2, 5], ids=["hashes", "packed"])
def both_families(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The wire format of new runs: they have hashes, as those have that began before format 5, and packed records in turn."""
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", request.param)
    return int(request.param)


@pytest.fixture(params=["one server", pytest.param("cluster", marks=ON_ONE_CLUSTER)])
def either_url(request: pytest.FixtureRequest) -> str:
    """The address of one server and of a cluster in turn, with nothing in it."""
    if request.param == "cluster":
        cluster: ValkeyCluster = request.getfixturevalue("valkey_cluster")
        return cluster.url
    url: str = request.getfixturevalue("single_url")
    return url


@pytest.fixture
def single_url(valkey: GivenValkey | EmbeddedValkey) -> str:
    """The address of an empty server, for what a cluster does not do."""
    empty(valkey.url)
    return valkey.url


@pytest.fixture(params=["compares", "without IFEQ"])
def compares(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Servers that can compare and set, and older ones."""
    if request.param != "compares":
        monkeypatch.setattr("mousetrap.run_store.packed.sender.can_compare", lambda _: False)
    yield request.param == "compares"
