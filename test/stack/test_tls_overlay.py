"""Tests the stack with deploy/tls.yml: TLS to the broker for all."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stack.composed import ROOT, Composed, composed

USERS = {"mousetrap-api", "mousetrap-worker"}


def make_secrets(folder: Path) -> None:
    for tool in ("secrets", "certificates"):
        subprocess.run([ROOT / "tools" / tool, folder], check=True, capture_output=True)


@pytest.fixture(scope="module")
def stack(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """In place of the one without TLS."""
    folder = tmp_path_factory.mktemp("tls")
    make_secrets(folder / "secrets")
    with composed(folder, "offline", "tls") as stack:
        yield stack


def test_a_run_completes_and_every_connection_to_the_broker_is_over_tls(stack: Composed) -> None:
    run_id = stack.submit("over tls")

    stack.assert_all_accounted_for([run_id])

    listed = stack.rabbitmqctl("list_connections", "--no-table-headers", "user", "ssl", "ssl_protocol")
    connections = [line.split("\t") for line in listed.splitlines()]
    assert {user for user, _, _ in connections} == USERS
    assert {(ssl, protocol) for _, ssl, protocol in connections} == {("true", "tlsv1.3")}


def with_an_address_without_tls(secrets: Path) -> None:
    shutil.copy(secrets / "broker_url_migrate", secrets / "tls/broker_url_migrate")


def with_the_authority_of_another(secrets: Path) -> None:
    other = secrets / "other"
    make_secrets(other)
    shutil.copy(other / "tls/ca.pem", secrets / "tls/ca.pem")


@pytest.mark.parametrize(
    ("change", "why"),
    [(with_an_address_without_tls, "refused"), (with_the_authority_of_another, "CERTIFICATE_VERIFY_FAILED")],
)
def test_no_client_gets_to_the_broker_otherwise(
    stack: Composed, tmp_path: Path, change: Callable[[Path], None], why: str
) -> None:
    secrets = tmp_path / "secrets"
    shutil.copytree(stack.secrets, secrets)
    change(secrets)

    done = stack.attempt("run", "--rm", "--no-deps", "-T", "migrate", SECRETS=str(secrets))

    assert done.returncode == 1, done.stderr
    output = " ".join(done.stdout.split())
    assert "fail queues RabbitMQ at rabbitmq:567" in output
    assert why in output
    assert "ok store" in output


def test_certificates_that_are_there_are_left_as_they_are(stack: Composed) -> None:
    made = {file.name: file.read_bytes() for file in (stack.secrets / "tls").iterdir()}

    subprocess.run([ROOT / "tools/certificates", stack.secrets], check=True)

    assert {file.name: file.read_bytes() for file in (stack.secrets / "tls").iterdir()} == made
