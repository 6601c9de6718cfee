"""Settings are checked once, at the start, and every complaint names its variable."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mousetrap.settings import Settings, SettingsWrong, amqp_url, masked


def test_nothing_set_means_the_embedded_default_on_loopback() -> None:
    settings = Settings.from_environ({"PATH": "/bin", "HOME": "/"})

    assert settings.broker_url == settings.store_url == "valkey://127.0.0.1:6379/0"
    assert settings.api_host == "127.0.0.1"
    assert settings.tls is None


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        (
            {"MOUSETRAP_BROKER_URL": "http://x"},
            "MOUSETRAP_BROKER_URL: write an address that starts with one of: amqp://",
        ),
        ({"MOUSETRAP_STORE_URL": "amqp://x"}, "MOUSETRAP_STORE_URL: write an address"),
        (
            {"MOUSETRAP_BROKER_URL": "amqp://u:short@h:1,h:99999/"},
            "MOUSETRAP_BROKER_URL: 'h:99999' is not a host",
        ),
        ({"MOUSETRAP_STORE_URL": "valkey://h:port/0"}, "MOUSETRAP_STORE_URL: 'h:port' is not a host"),
        ({"MOUSETRAP_CONCURRENCY": "many"}, "MOUSETRAP_CONCURRENCY: write a whole number from 1 to 10000"),
        ({"MOUSETRAP_CONCURRENCY": "0"}, "MOUSETRAP_CONCURRENCY: write a whole number from 1 to 10000"),
        (
            {"MOUSETRAP_KEEP_OUTPUT_BYTES": "-1"},
            "MOUSETRAP_KEEP_OUTPUT_BYTES: write a whole number of at least 0",
        ),
        (
            {"MOUSETRAP_GRACE_SECONDS": "nan"},
            "MOUSETRAP_GRACE_SECONDS: write a number above 0 and up to 86400",
        ),
        ({"MOUSETRAP_RETENTION_SECONDS": "inf"}, "MOUSETRAP_RETENTION_SECONDS: write a number from 60 to"),
        ({"MOUSETRAP_DECLARE": "perhaps"}, "MOUSETRAP_DECLARE: write true or false"),
        ({"MOUSETRAP_QUEUE_TYPE": "quick"}, "MOUSETRAP_QUEUE_TYPE: write one of: classic, quorum"),
        (
            {"MOUSETRAP_SIGNING_KEYS": "k1:short"},
            "MOUSETRAP_SIGNING_KEYS: the secret of key 'k1' has under 16",
        ),
        ({"MOUSETRAP_HEALTH_PORT": "99999"}, "MOUSETRAP_HEALTH_PORT: write a port up to 65535"),
        ({"MOUSETRAP_HEALTH_PORT": "http"}, "MOUSETRAP_HEALTH_PORT: write a port up to 65535"),
        ({"MOUSETRAP_TLS_CA": "/no/such/file"}, "MOUSETRAP_TLS_CA: there is no file /no/such/file"),
        ({"MOUSETRAP_BROKER": "x"}, "MOUSETRAP_BROKER: there is no such setting"),
        ({"MOUSETRAP_API_KEY_FILE": "/no/such/file"}, "MOUSETRAP_API_KEY_FILE: cannot read /no/such/file"),
        ({"MOUSETRAP_API_KEY": "a", "MOUSETRAP_API_KEY_FILE": "/b"}, "are both set: unset one"),
    ],
)
def test_a_wrong_setting_is_named_with_what_to_write(environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingsWrong) as wrong:
        Settings.from_environ(environ)

    assert complaint in str(wrong.value)
    assert "short" not in str(wrong.value)


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(SettingsWrong) as wrong:
        Settings.from_environ({"MOUSETRAP_BROKER_URL": "x", "MOUSETRAP_CONCURRENCY": "x"})

    assert len(str(wrong.value).splitlines()) == 2


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "broker"
    secret.write_text("amqp://me:sesame@rabbit/\n")

    settings = Settings.from_environ({"MOUSETRAP_BROKER_URL_FILE": str(secret)})

    assert settings.broker_url == "amqp://me:sesame@rabbit/"
    assert "sesame" not in repr(settings)


def test_a_file_of_certificates_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")

    with pytest.raises(SettingsWrong, match="does not load"):
        Settings.from_environ({"MOUSETRAP_TLS_CA": str(tmp_path / "ca.pem")})


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "amqp://DEV_USER:CHANGE_ME@localhost:5672/%2F"),
        ({"RABBITMQ_HOST": "rabbit", "RABBITMQ_PASSWORD": "mine"}, "amqp://DEV_USER:mine@rabbit:5672/%2F"),
        ({"RABBITMQ_USER": "a/b", "RABBITMQ_PASSWORD": "c@d"}, "amqp://a%2Fb:c%40d@localhost:5672/%2F"),
        ({"MOUSETRAP_BROKER_URL": "amqps://u:p@h/v", "RABBITMQ_HOST": "x"}, "amqps://u:p@h/v"),
        ({"MOUSETRAP_BROKER_URL": "valkey://h"}, "amqp://DEV_USER:CHANGE_ME@localhost:5672/%2F"),
    ],
)
def test_a_blocking_channel_finds_rabbitmq_by_our_variable_or_the_tutorials(
    environ: dict[str, str], url: str
) -> None:
    assert amqp_url(environ) == url


def test_the_tutorials_host_is_enough_for_workers_too() -> None:
    environ = {"RABBITMQ_HOST": "rabbit", "RABBITMQ_PASSWORD": "mine"}

    assert Settings.from_environ(environ).broker_url == amqp_url(environ)


@pytest.mark.parametrize(
    "url",
    [
        "amqp://mousetrap:CHANGE_ME@rabbit:5672/v",
        "amqp://mousetrap:changeme@127.0.0.1,rabbit/v",
        "amqp://guest:guest@rabbit",
        "amqp://mousetrap:@rabbit",
        "amqp://mousetrap@rabbit",
        "amqp://rabbit",
        "amqps://mousetrap:Change%5fMe@203.0.113.7/v",
        "amqp://mousetrap:change-me@[2001:db8::1]/v",
    ],
)
def test_a_placeholder_is_no_password_toward_another_machine(url: str) -> None:
    with pytest.raises(SettingsWrong) as wrong:
        Settings.from_environ({"MOUSETRAP_BROKER_URL": url})

    assert str(wrong.value).startswith("MOUSETRAP_BROKER_URL: its password is empty or a placeholder")
    assert len(str(wrong.value).splitlines()) == 1
    assert "rabbit" not in str(wrong.value)


def test_store_and_database_are_asked_for_a_password_of_their_own_too() -> None:
    with pytest.raises(SettingsWrong) as wrong:
        Settings.from_environ(
            {
                "MOUSETRAP_STORE_URL": "valkey://:CHANGE_ME@store:6379/0",
                "MOUSETRAP_DATABASE_URL": "postgresql+psycopg://mousetrap:CHANGE_ME@database/mousetrap",
            }
        )

    store, database = str(wrong.value).splitlines()
    assert store.startswith("MOUSETRAP_STORE_URL: its password")
    assert database.startswith("MOUSETRAP_DATABASE_URL: its password")


@pytest.mark.parametrize(
    "environ",
    [
        {"MOUSETRAP_BROKER_URL": "amqp://guest:guest@localhost:5672/"},
        {"MOUSETRAP_BROKER_URL": "amqp://127.0.0.2"},
        {"MOUSETRAP_BROKER_URL": "amqp://u:CHANGE_ME@[::1]:5672/"},
        {"MOUSETRAP_BROKER_URL": "amqp://mousetrap:changed-me@rabbit/v"},
        {"MOUSETRAP_STORE_URL": "valkey://store:6379/0"},
        {"MOUSETRAP_DATABASE_URL": "postgresql+psycopg://peer@database/mousetrap"},
        {"MOUSETRAP_DATABASE_URL": "sqlite:////data/a@b.db"},
    ],
)
def test_this_machine_and_those_who_ask_for_no_password_are_left_alone(environ: dict[str, str]) -> None:
    Settings.from_environ(environ)


@pytest.mark.parametrize("read", [amqp_url, Settings.from_environ])
def test_the_tutorials_password_goes_to_no_other_machine(
    read: Callable[[Mapping[str, str]], object],
) -> None:
    with pytest.raises(
        SettingsWrong, match=r"^RABBITMQ_HOST and RABBITMQ_PASSWORD: its password is empty or a placeholder"
    ):
        read({"RABBITMQ_HOST": "rabbit"})


@pytest.mark.parametrize(
    "url",
    [
        "amqp://u:s3cret\N{CARE OF}@h/",
        "amqp://u:[s3cret]@h/",
        "amqp://u:s3cret/more@h/",
        "valkey://:s3cret#more@h/0",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    name = "MOUSETRAP_BROKER_URL"

    with pytest.raises(SettingsWrong, match=f"{name}: it cannot be read as an address") as wrong:
        Settings.from_environ({name: url})

    assert "s3cret" not in str(wrong.value)


@pytest.mark.parametrize(
    ("given", "declares"),
    [({}, True), ({"MOUSETRAP_DECLARE": "false"}, False), ({"MOUSETRAP_DECLARE": "0"}, False)],
)
def test_processes_declare_unless_told_not_to(given: dict[str, str], declares: bool) -> None:
    assert Settings.from_environ(given).declare is declares


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("amqp://me:sesame@rabbit:5672/v is away", "amqp://me:***@rabbit:5672/v is away"),
        ("a valkey://:p%40ss@h/0 b amqp://u:q@h", "a valkey://:***@h/0 b amqp://u:***@h"),
        ("http://example.org/a:b@c", "http://example.org/a:b@c"),
    ],
)
def test_passwords_in_addresses_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
