"""Tests that the secrets of a stack fit its processes and servers."""

import base64
import hashlib
import json
import stat
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from mousetrap.api_keys import ApiKeys, Scope
from mousetrap.catalogue import SETTINGS
from mousetrap.settings import Settings
from support.rabbitmq import OwnRabbitMQ

_ROOT = Path(__file__).parents[2]


def test_each_process_reads_its_addresses_and_keys(tmp_path: Path) -> None:
    folder = _made(tmp_path)
    names = {"broker_url": "broker_url_worker", "store_url": "", "database_url": "database_url_worker"}
    names |= {"signing_keys": "", "api_keys": "", "api_key": ""}

    settings = Settings.from_environ(
        {f"MOUSETRAP_{name.upper()}_FILE": str(folder / (file or name)) for name, file in names.items()},
        SETTINGS,
    )

    caller = ApiKeys.parse(settings.api_keys).find(settings.api_key)
    assert caller is not None
    assert caller.scopes == frozenset(Scope)
    assert settings.keyring.headers(b"a message")


def test_the_broker_knows_each_user_by_a_hash_of_the_password_in_its_address(tmp_path: Path) -> None:
    folder = _made(tmp_path)
    users = json.loads((folder / "rabbitmq_definitions.json").read_text())["users"]

    assert len(users) == 3
    for user in users:
        address = urlsplit((folder / f"broker_url_{user['name'].rpartition('-')[2]}").read_text())
        kept = base64.b64decode(user["password_hash"])
        assert address.username == user["name"]
        assert kept[4:] == hashlib.sha256(kept[:4] + (address.password or "").encode()).digest()


def test_the_development_broker_has_one_user_more_for_its_pages(tmp_path: Path) -> None:
    folder = _made(tmp_path)
    stack = json.loads((folder / "rabbitmq_definitions.json").read_text())
    development = json.loads((folder / "development_definitions.json").read_text())

    *same, management = development["users"]

    assert same == stack["users"]
    assert (management["name"], management["tags"]) == ("mousetrap-management", ["monitoring"])
    *rights, right = development["permissions"]
    assert rights == stack["permissions"]
    assert [right[kind] for kind in ("configure", "write", "read")] == ["^$"] * 3
    kept = base64.b64decode(management["password_hash"])
    password = (folder / "management_password").read_text().strip()
    assert kept[4:] == hashlib.sha256(kept[:4] + password.encode()).digest()


def test_the_user_of_the_pages_sees_queues_and_neither_reads_a_message_nor_changes_anything(
    tmp_path: Path, own_rabbitmq: OwnRabbitMQ
) -> None:
    folder = _made(tmp_path)
    definitions = json.loads((folder / "development_definitions.json").read_text())
    password = (folder / "management_password").read_text().strip()
    taken = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    with (
        httpx.Client(base_url=own_rabbitmq.api, timeout=60, auth=("guest", "guest")) as guest,
        httpx.Client(base_url=own_rabbitmq.api, timeout=60, auth=("mousetrap-management", password)) as page,
    ):
        guest.post("/api/definitions", json=definitions).raise_for_status()
        guest.put(
            "/api/permissions/mousetrap/guest", json=dict.fromkeys(("configure", "write", "read"), ".*")
        )
        guest.put("/api/queues/mousetrap/start_fetch", json={"durable": True}).raise_for_status()

        seen = [page.get(path).status_code for path in ("/api/overview", "/api/queues/mousetrap")]
        refused = [
            page.post("/api/queues/mousetrap/start_fetch/get", json=taken).status_code,
            page.delete("/api/queues/mousetrap/start_fetch").status_code,
            page.put("/api/users/other", json={"password": "p", "tags": "administrator"}).status_code,
        ]
        guest.delete("/api/vhosts/mousetrap").raise_for_status()

    assert seen == [200, 200]
    assert {400, 401, 403}.issuperset(refused), refused


def test_secrets_of_an_earlier_version_get_the_user_of_the_pages(tmp_path: Path) -> None:
    folder = _made(tmp_path)
    (folder / "development_definitions.json").unlink()
    (folder / "management_password").unlink()
    before = {file.name: file.read_text() for file in folder.iterdir()}

    assert _make(folder).returncode == 0

    assert before.items() <= {file.name: file.read_text() for file in folder.iterdir()}.items()
    assert (folder / "development_definitions.json").is_file() and (folder / "management_password").is_file()


def test_no_two_stacks_share_a_secret(tmp_path: Path) -> None:
    one, other = _made(tmp_path / "one"), _made(tmp_path / "other")

    assert [each.name for each in one.iterdir() if each.read_text() == (other / each.name).read_text()] == []


def test_only_their_owner_gets_into_the_folder_and_containers_may_read_the_files(tmp_path: Path) -> None:
    folder = _made(tmp_path)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o644}


def test_what_is_there_is_left_alone_and_a_gap_is_named(tmp_path: Path) -> None:
    folder = _made(tmp_path)
    before = {file.name: file.read_text() for file in folder.iterdir()}

    assert _make(folder).returncode == 0
    assert {file.name: file.read_text() for file in folder.iterdir()} == before

    (folder / "store_url").unlink()
    refused = _make(folder)
    assert refused.returncode == 1
    assert "store_url" in refused.stderr
    assert not (folder / "store_url").exists()


def _made(place: Path) -> Path:
    folder = place / "secrets"
    assert _make(folder).returncode == 0
    return folder


def _make(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(_ROOT / "tools/secrets"), str(folder)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
