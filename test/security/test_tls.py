"""Tests TLS to the broker and the store."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from mousetrap.job_queue import QueueOptions, connect, open_channel
from mousetrap.jobs import Message, QueueUnreachable, StoreUnreachable
from mousetrap.run_store import open_store
from mousetrap.run_store.keys import packed_run_key
from mousetrap.settings import Settings
from support.inbox import eventually
from support.valkey_cluster import ValkeyCluster
from support.waiting import until

#: They start servers, and wait for refusals.
pytestmark = pytest.mark.slow

NAME = "localhost"
SECURE = {"amqp": "amqps", "valkey": "valkeys"}


@asynccontextmanager
async def behind_tls(url: str, context: ssl.SSLContext) -> AsyncIterator[str]:
    """The address of a TLS server_context to the server at `url`, as a load balancer is one."""
    plain = urlsplit(url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, away = await asyncio.open_connection(plain.hostname, plain.port)
            await asyncio.gather(pump(reader, away), pump(there, writer))
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server_context:
        port = server_context.sockets[0].getsockname()[1]
        login = plain.netloc.rpartition("@")[0]
        yield f"{SECURE[plain.scheme]}://{login}{'@' if login else ''}{NAME}:{port}{plain.path}"
        server_context.close()


async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    except OSError:
        pass  # either side may go at any moment
    finally:
        target.close()


class Certificates:
    """A certificate authority, a server's certificate under it, and the settings that trust it."""

    def __init__(self, folder: Path, server_name: str = NAME) -> None:
        authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(server_name).configure_cert(self.server)
        self.authority = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.authority)
        self.trusting = Settings.from_environ({"MOUSETRAP_TLS_CA": self.authority}).tls
        client = authority.issue_cert("worker@example.org")
        client.private_key_and_cert_chain_pem.write_to_path(str(folder / "client.pem"))
        self.known = Settings.from_environ(
            {
                "MOUSETRAP_TLS_CA": str(folder / "ca.pem"),
                "MOUSETRAP_TLS_CERTIFICATE": str(folder / "client.pem"),
            }
        ).tls
        self.demanding = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(server_name).configure_cert(self.demanding)
        authority.configure_trust(self.demanding)
        self.demanding.verify_mode = ssl.CERT_REQUIRED


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def try_queue(
    url: str, server_context: ssl.SSLContext, tls: ssl.SSLContext | None, within_s: float = 30.0
) -> None:
    """Publishes a message through the server_context."""

    async def story() -> None:
        async with behind_tls(url, server_context) as secure:
            options = QueueOptions(tls=tls, confirm_deadline=within_s)
            async with connect(secure, ["work"], name="test", options=options) as queue:
                await queue.publish("work", Message("1", b"{}"))
                await eventually(lambda: queue.count_ready("work"), 1)

    asyncio.run(story())


def try_store(url: str, server_context: ssl.SSLContext, tls: ssl.SSLContext | None) -> None:
    """Records a run through the server_context."""

    async def story() -> None:
        async with (
            behind_tls(url, server_context) as secure,
            open_store(secure, retention=3600, tls=tls) as store,
        ):
            await store.open_run("r1", "sums", "add", b"1")
            assert await store.get("r1") is not None

    asyncio.run(story())


def try_cluster(cluster: ValkeyCluster, certificates: Certificates, tls: ssl.SSLContext | None) -> None:
    """Records a run on each server, all of them behind TLS."""
    primaries = cluster.primaries()
    login = cluster.url.rpartition("@")[0]
    run_ids = {cluster.primary_of(packed_run_key(f"r{number}")): f"r{number}" for number in range(40)}
    assert set(run_ids) == set(primaries)

    async def story() -> None:
        async with AsyncExitStack() as doors:
            behind = (behind_tls(f"{login}@{node.host}/0", certificates.server) for node in primaries)
            urls = [urlsplit(await doors.enter_async_context(each)) for each in behind]
            ports = {node: url.port or 0 for node, url in zip(primaries, urls, strict=True)}
            with cluster.announcing(ports):
                one, *others = (url.netloc for url in urls)
                hosts = ",".join([one, *(netloc.rpartition("@")[2] for netloc in others)])
                async with open_store(f"valkeys://{hosts}/0", retention=3600, tls=tls) as store:
                    for run_id in run_ids.values():
                        await store.open_run(run_id, "sums", "add", b"1")
                        assert await store.get(run_id) is not None

    asyncio.run(story())


def refuses(attempt: Callable[[], None]) -> None:
    """The attempt fails by the certificate; on a busy machine one may fail first since the server takes its time."""

    def why() -> str:
        with pytest.raises((QueueUnreachable, StoreUnreachable)) as refused:
            attempt()
        return str(refused.value)

    until(lambda: "certificate" in why(), "the certificate is refused")


def test_a_queue_whose_certificate_is_trusted_is_used(queue_url: str, certificates: Certificates) -> None:
    try_queue(queue_url, certificates.server, certificates.trusting)


def test_a_queue_that_wants_to_know_its_clients_is_shown_a_certificate(
    queue_url: str, certificates: Certificates
) -> None:
    try_queue(queue_url, certificates.demanding, certificates.known)


@pytest.mark.parametrize("tls", [None, ssl.create_default_context()], ids=["default", "system"])
def test_a_queue_whose_certificate_is_not_trusted_is_not_used(
    queue_url: str, certificates: Certificates, tls: ssl.SSLContext | None
) -> None:
    refuses(lambda: try_queue(queue_url, certificates.server, tls, 3.0))


def test_a_queue_with_the_certificate_of_another_is_not_used(queue_url: str, tmp_path: Path) -> None:
    other = Certificates(tmp_path, "elsewhere.example.org")

    refuses(lambda: try_queue(queue_url, other.server, other.trusting, 3.0))


def test_a_store_is_used_only_with_a_certificate_that_is_trusted(
    store_url: str, certificates: Certificates
) -> None:
    try_store(store_url, certificates.server, certificates.trusting)
    try_store(store_url, certificates.demanding, certificates.known)
    refuses(lambda: try_store(store_url, certificates.server, None))


def test_a_cluster_is_used_by_the_names_that_its_servers_announce(
    valkey_cluster: ValkeyCluster, certificates: Certificates, tmp_path: Path
) -> None:
    try_cluster(valkey_cluster, certificates, certificates.trusting)
    refuses(lambda: try_cluster(valkey_cluster, certificates, None))
    other = Certificates(tmp_path, "elsewhere.example.org")
    refuses(lambda: try_cluster(valkey_cluster, other, other.trusting))


def test_a_store_with_the_certificate_of_another_is_not_used(store_url: str, tmp_path: Path) -> None:
    other = Certificates(tmp_path, "elsewhere.example.org")

    refuses(lambda: try_store(store_url, other.server, other.trusting))


async def test_a_blocking_channel_verifies_as_the_environment_sets_it(
    broker_url: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opens(url: str) -> None:
        monkeypatch.setenv("MOUSETRAP_TLS_CA", certificates.authority)
        with open_channel(url, ["work"]) as channel:
            assert channel.is_open

    def stays_shut(url: str) -> None:
        monkeypatch.delenv("MOUSETRAP_TLS_CA")
        with pytest.raises(QueueUnreachable, match="certificate"):
            open_channel(url, ["work"])

    for use in (opens, stays_shut):
        async with behind_tls(broker_url, certificates.server) as secure:
            await asyncio.to_thread(use, secure)
