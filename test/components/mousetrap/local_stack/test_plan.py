"""What a plan adds to the settings that were given."""

from pathlib import Path

import pytest

from mousetrap.catalogue_entries import Sample, Worker
from mousetrap.local_stack.plan import Plan, environment_of, make_plan, programs
from mousetrap.settings import Settings

BROKER = {"MOUSETRAP_BROKER_URL": "amqp://u:p@broker/"}
STORE = {"MOUSETRAP_STORE_URL": "valkey://store/0"}
SAMPLE = Sample("counts", b"{}", "ten numbers", {}, {}, {"MOUSETRAP_NUMBERS_URL": "http://127.0.0.1:7001"})


def plan(environ: dict[str, str]) -> Plan:
    return make_plan(
        Settings.from_environ(environ),
        Settings.given_in(environ),
        Path("/data"),
        api_port=8001,
        valkey_address=Path("/data/valkey/address"),
        sample=SAMPLE,
    )


def test_with_nothing_given_everything_is_embedded_and_kept_in_the_folder() -> None:
    made = plan({})

    assert made.embedded
    assert made.api_url == "http://127.0.0.1:8001"
    assert made.variables == {
        "MOUSETRAP_BROKER_URL_FILE": "/data/valkey/address",
        "MOUSETRAP_STORE_URL_FILE": "/data/valkey/address",
        "MOUSETRAP_SIGNING_KEYS_FILE": "/data/signing.key",
        "MOUSETRAP_API_PORT": "8001",
        "MOUSETRAP_NUMBERS_URL": "http://127.0.0.1:7001",
    }


@pytest.mark.parametrize(
    ("given", "embedded"),
    [
        (BROKER, True),
        (STORE, True),
        ({**BROKER, **STORE}, False),
        ({"RABBITMQ_HOST": "broker", "RABBITMQ_PASSWORD": "p", **STORE}, False),
    ],
)
def test_a_server_is_embedded_unless_broker_and_store_are_both_given(
    given: dict[str, str], embedded: bool
) -> None:
    made = plan(given)

    assert made.embedded is embedded
    assert ("MOUSETRAP_STORE_URL_FILE" in made.variables) is ("MOUSETRAP_STORE_URL" not in given)


def test_what_was_given_is_not_replaced() -> None:
    given = {
        **BROKER,
        "MOUSETRAP_SIGNING_KEYS": "k:0123456789abcdef",
    }
    assert not {*given, "MOUSETRAP_SIGNING_KEYS_FILE"} & set(plan(given).variables)


def test_a_stack_runs_the_api_and_each_worker_of_the_catalogue() -> None:
    workers = {name: Worker(f"{name}:bind", f"{name}.program") for name in ("read", "sort", "send")}

    assert programs(workers) == {
        "api": ("mousetrap.api",),
        "read-worker": ("read.program",),
        "sort-worker": ("sort.program",),
        "send-worker": ("send.program",),
    }


def test_a_worker_of_modules_without_a_program_is_run_by_the_command_line() -> None:
    workers = {
        "words": Worker(modules=("my.words",)),
        "pages": Worker(modules=("my.pages",), program="my.pages_worker"),
    }

    assert programs(workers) == {
        "api": ("mousetrap.api",),
        "words-worker": ("mousetrap.cli", "worker", "my.words"),
        "pages-worker": ("my.pages_worker",),
    }


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8001"),
        ("127.0.0.2", "http://127.0.0.2:8001"),
        ("::1", "http://[::1]:8001"),
    ],
)
def test_the_api_is_called_at_an_address_that_this_machine_has(host: str, url: str) -> None:
    assert plan({"MOUSETRAP_API_HOST": host}).api_url == url


def test_a_file_that_held_what_is_replaced_is_not_named_any_more(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("9")
    environ = {"MOUSETRAP_API_PORT_FILE": str(tmp_path / "port"), "HOME": "/me"}

    environment = environment_of(plan(environ), environ)

    assert environment["HOME"] == "/me"
    assert (environment["MOUSETRAP_API_PORT"], "MOUSETRAP_API_PORT_FILE" in environment) == ("8001", False)
