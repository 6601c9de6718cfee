"""Shows how the program starts, refuses to start, and stops."""

import signal
import socket
from collections.abc import Callable
from typing import Any

import pytest

from mousetrap.api_keys import new_key
from support.ports import closed_port
from support.processes import Process
from support.waiting import until

pytestmark = pytest.mark.slow

KEY, ENTRY = new_key("ci", ["read"], bytes(32))

Start = Callable[..., Process]


def test_a_store_that_cannot_be_used_is_named_in_the_log_with_the_reason(start_base: Start) -> None:
    place = f"127.0.0.1:{closed_port()}"
    process = start_base("api", MOUSETRAP_API_PORT="0", MOUSETRAP_STORE_URL=f"valkey://{place}/99")

    line = process.wait_for_line("waiting for the store")

    assert f"cannot reach the store at {place}" in line
    assert "MOUSETRAP_STORE_URL" in line
    assert process.terminate() == 0


def test_help_names_the_variables(start_base: Start) -> None:
    process = start_base("api", "--help")

    assert process.wait() == 0
    for variable in (
        "MOUSETRAP_BROKER_URL",
        "MOUSETRAP_STORE_URL",
        "MOUSETRAP_API_PORT",
        "MOUSETRAP_API_KEYS",
    ):
        assert variable in process.output


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"MOUSETRAP_API_PORT": "70000"}, "MOUSETRAP_API_PORT: write a whole number from 0 to 65535"),
        ({"MOUSETRAP_API_HOST": "0.0.0.0"}, "MOUSETRAP_API_KEYS: set at least one key"),
        ({"MOUSETRAP_API_KEYS": KEY}, "MOUSETRAP_API_KEYS: key 1 is not of the form"),
        ({"MOUSETRAP_API_PROT": "1"}, "MOUSETRAP_API_PROT: there is no such setting"),
        (
            {"MOUSETRAP_API_HOST": "no-such-host.invalid", "MOUSETRAP_API_KEYS": ENTRY},
            "MOUSETRAP_API_HOST: cannot listen on no-such-host.invalid",
        ),
    ],
)
def test_wrong_settings_are_one_clear_line_and_exit_code_2(
    start_base: Start, settings: dict[str, str], line: str
) -> None:
    # Another program of this machine can have the default port.
    process = start_base("api", **{"MOUSETRAP_API_PORT": "0", **settings})

    assert process.wait() == 2
    (printed,) = process.lines
    assert line in printed
    assert KEY not in printed


def test_it_serves_until_asked_to_stop(start_api: Any) -> None:
    process, api = start_api()
    assert "server" not in api.get("/health/live").headers

    assert process.terminate() == 0


def test_requests_are_logged_and_probes_and_scrapes_are_not(start_api: Any) -> None:
    process, api = start_api(MOUSETRAP_METRICS="true")
    for path in ("/health/live", "/metrics", "/pipelines"):
        assert api.get(path).status_code == 200

    process.wait_for_line("GET /pipelines")

    assert process.terminate() == 0
    assert "/health/" not in process.output and "/metrics" not in process.output


def test_a_second_signal_ends_it_though_a_request_is_under_way(start_api: Any) -> None:
    process, api = start_api()
    place = (api.base_url.host, api.base_url.port)
    with socket.create_connection(place) as slow:
        slow.sendall(b"POST /pipelines/earthquakes/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert api.get("/health/live").status_code == 200  # it has reached the other one by now
        process.send(signal.SIGTERM)
        until(lambda: refused(place), "it takes no more connections")
        process.send(signal.SIGTERM)

        assert process.wait() == 0
    assert "graceful shutdown exceeded" not in process.output  # as after a first signal alone


def refused(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place).close()
    except ConnectionRefusedError:
        return True
    return False


def test_with_keys_it_serves_other_machines(start_api: Any) -> None:
    _, api = start_api(MOUSETRAP_API_HOST="0.0.0.0", MOUSETRAP_API_KEYS=ENTRY)

    assert api.get("/runs").status_code == 401
    assert api.get("/runs", headers={"X-API-Key": KEY, "Host": "api.example"}).status_code == 200


def test_it_starts_and_stops_without_broker_and_store(start_api: Any) -> None:
    port = closed_port()
    away = f"valkey://user:hidden@127.0.0.1:{port}/0"

    process, api = start_api(ready=False, MOUSETRAP_BROKER_URL=away, MOUSETRAP_STORE_URL=away)

    assert api.get("/health/ready").json()["away"] == ["broker", "store"]
    assert process.terminate() == 0
    assert "hidden" not in process.output


def test_a_port_in_use_is_one_clear_line_with_the_address_and_what_to_do(
    start_base: Start, store_url: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        process = start_base(
            "api", MOUSETRAP_API_PORT=port, MOUSETRAP_BROKER_URL=store_url, MOUSETRAP_STORE_URL=store_url
        )

        assert process.wait() == 2
    (line,) = process.lines
    assert f"MOUSETRAP_API_PORT: cannot listen on 127.0.0.1:{port} (Address already in use)" in line
    assert "set another port" in line
