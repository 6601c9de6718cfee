"""Settings are checked once, at the start, and every complaint names its variable."""

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
        ({"MOUSETRAP_CONCURRENCY": "many"}, "MOUSETRAP_CONCURRENCY: Input should be a valid integer"),
        ({"MOUSETRAP_CONCURRENCY": "0"}, "MOUSETRAP_CONCURRENCY: Input should be greater than or equal to 1"),
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
        ({"RABBITMQ_HOST": "rabbit"}, "amqp://DEV_USER:CHANGE_ME@rabbit:5672/%2F"),
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
    assert Settings.from_environ({"RABBITMQ_HOST": "rabbit"}).broker_url == amqp_url(
        {"RABBITMQ_HOST": "rabbit"}
    )


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
