"""Tests that unsigned processes report it, or do not start."""

from collections.abc import Callable

import pytest

from support.processes import Process

BASES = ("api", "fetch_worker", "process_worker")
KEY = "k1:0123456789abcdef"


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({}, "nothing is signed: anyone who can write to broker or store"),
        ({"MOUSETRAP_SIGNING_KEYS": "off"}, "signing is off, by MOUSETRAP_SIGNING_KEYS"),
    ],
)
def test_a_process_without_keys_reports_it_at_its_start(
    start_base: Callable[..., Process], store_url: str, base: str, keys: dict[str, str], line: str
) -> None:
    servers = {"MOUSETRAP_BROKER_URL": store_url, "MOUSETRAP_STORE_URL": store_url}
    process = start_base(base, **servers, **keys, MOUSETRAP_API_PORT="0")

    assert "WARNING" in process.wait_for_line(line)
    process.wait_for_line("Uvicorn running on" if base == "api" else "serving")
    assert process.terminate() == 0
    assert process.output.count(line) == 1


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("server", ["MOUSETRAP_BROKER_URL", "MOUSETRAP_STORE_URL"])
def test_a_process_without_keys_ends_where_a_server_can_be_another_machine(
    start_base: Callable[..., Process], store_url: str, base: str, server: str
) -> None:
    servers = {"MOUSETRAP_BROKER_URL": store_url, "MOUSETRAP_STORE_URL": store_url}
    process = start_base(base, **{**servers, server: "valkey://valkey:6379/0"})

    assert process.wait() == 2
    (output,) = process.lines
    assert output.startswith("MOUSETRAP_SIGNING_KEYS: not set")


@pytest.mark.parametrize("base", BASES)
def test_a_process_with_keys_logs_nothing_about_signing(
    start_base: Callable[..., Process], store_url: str, base: str
) -> None:
    servers = {"MOUSETRAP_BROKER_URL": store_url, "MOUSETRAP_STORE_URL": store_url}
    process = start_base(base, **servers, MOUSETRAP_SIGNING_KEYS=KEY, MOUSETRAP_API_PORT="0")

    process.wait_for_line("Uvicorn running on" if base == "api" else "serving")
    assert process.terminate() == 0
    assert "sign" not in process.output
