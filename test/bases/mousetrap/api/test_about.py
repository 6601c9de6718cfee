"""Checks what a server shows of itself, and no secret."""

from typing import Any

import httpx

from mousetrap.api_keys import new_key
from mousetrap.settings import Settings, masked
from support.api_server import serving
from support.clients import http_client


def about(settings: Settings, key: str = "") -> dict[str, Any]:
    with serving(settings) as url, http_client(url) as api:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        found: dict[str, Any] = api.get("/about", headers=headers).raise_for_status().json()
        return found


def test_a_server_shows_its_settings_its_broker_and_its_store(store_url: str) -> None:
    found = about(Settings(broker_url=store_url, store_url=store_url, retention_seconds=120))

    assert found["broker"] == {"address": masked(store_url), "problem": None}
    assert found["store"]["problem"] is None and found["store"]["used_bytes"] > 0
    settings = {each["name"]: each for each in found["settings"]}
    assert settings["MOUSETRAP_RETENTION_SECONDS"]["value"] == "120"
    assert not settings["MOUSETRAP_RETENTION_SECONDS"]["is_default"]
    assert settings["MOUSETRAP_CONCURRENCY"]["is_default"]


def test_no_secret_is_shown(store_url: str) -> None:
    key, entry = new_key("ops", ["operate"], bytes(range(32)))
    settings = Settings(
        broker_url=store_url,
        store_url=store_url,
        api_keys=entry,
        api_key=key,
        signing_keys="first:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,second:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
        outbox_url="postgresql://anna:hidden@db/x?sslpassword=hidden",
    )

    found = about(settings, key)

    shown = str(found)
    for secret in ("aaaa", "bbbb", "hidden", entry.rpartition(":")[2], key.rpartition("_")[2]):
        assert secret not in shown
    values = {each["name"]: each["value"] for each in found["settings"]}
    assert values["MOUSETRAP_SIGNING_KEYS"] == "first, second"
    assert values["MOUSETRAP_API_KEYS"] == entry.partition(":")[0]
    assert values["MOUSETRAP_API_KEY"] == "***"
    assert values["MOUSETRAP_OUTBOX_URL"] == "postgresql://anna:***@db/x?sslpassword=***"


def test_it_needs_the_scope_operate(store_url: str) -> None:
    key, entry = new_key("reader", ["read"], bytes(32))
    with (
        serving(Settings(broker_url=store_url, store_url=store_url, api_keys=entry)) as url,
        http_client(url) as api,
    ):
        response: httpx.Response = api.get("/about", headers={"Authorization": f"Bearer {key}"})
    assert response.status_code == 403


def test_a_store_that_is_away_is_named() -> None:
    away = "valkey://127.0.0.1:1/0"

    found = about(Settings(broker_url=away, store_url=away))

    assert "127.0.0.1:1" in found["store"]["problem"] and found["broker"]["problem"]
