"""Tests where messages may be unsigned."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.settings import Settings, SettingsWrong, check_signing

KEY = "k1:0123456789abcdef"
HERE = (
    "valkey://127.0.0.1:6379/0",
    "valkey://:secret@localhost:6379/0",
    "unix:///run/valkey.sock",
    "valkey://[::1]:6379/0",
)
AWAY = (
    "valkey://valkey:6379/0",
    "valkeys://user:secret@10.0.0.7:6379/0",
    "valkey://store.example.org/0",
    "valkey://0.0.0.0:6379/0",
    "valkey://[2001:db8::1]:6379/0",
    "valkey://localhost.evil.example:6379/0",
)
BROKERS_HERE = (
    "valkey://127.0.0.1:6379/0",
    "amqp://me:secret@127.0.0.1:5672/",
    "amqps://me:secret@localhost,127.0.0.2:5671/",
)
BROKERS_AWAY = (
    *AWAY,
    "amqp://me:secret@rabbitmq:5672/mousetrap",
    "amqp://me:secret@127.0.0.1,rabbitmq-2:5672/",
)


def settings(broker: str, store: str, **more: str) -> Settings:
    return Settings.from_environ({"MOUSETRAP_BROKER_URL": broker, "MOUSETRAP_STORE_URL": store, **more})


@given(st.sampled_from(BROKERS_HERE + BROKERS_AWAY), st.sampled_from(HERE + AWAY))
def test_without_keys_nothing_starts_toward_another_machine_unless_it_is_reported_in_words(
    broker: str, store: str
) -> None:
    assert check_signing(settings(broker, store, MOUSETRAP_SIGNING_KEYS=KEY)) is None
    assert "off" in (check_signing(settings(broker, store, MOUSETRAP_SIGNING_KEYS="off")) or "")
    if broker in BROKERS_HERE and store in HERE:
        assert "nothing is signed" in (check_signing(settings(broker, store)) or "")
        return
    with pytest.raises(SettingsWrong, match=r"^MOUSETRAP_SIGNING_KEYS: not set, and the ") as wrong:
        check_signing(settings(broker, store))
    text = str(wrong.value)
    assert len(text.splitlines()) == 1
    assert "secret@" not in text
    assert ("the broker" in text, "the store" in text) == (broker in BROKERS_AWAY, store in AWAY)


def test_the_tutorials_host_counts_as_the_brokers_address() -> None:
    given = {"RABBITMQ_HOST": "rabbitmq", "RABBITMQ_PASSWORD": "a-good-one"}
    with pytest.raises(SettingsWrong, match="the broker can be another machine"):
        check_signing(Settings.from_environ(given))


@pytest.mark.parametrize("text", ["", " ", ",", "\n", "OFF,", "none", "of", "off,k1:0123456789abcdef"])
@pytest.mark.parametrize("by_file", [False, True])
def test_what_holds_no_key_is_an_error_and_never_off(text: str, by_file: bool, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    given = {"MOUSETRAP_SIGNING_KEYS_FILE": str(path)} if by_file else {"MOUSETRAP_SIGNING_KEYS": text}
    with pytest.raises(SettingsWrong, match=r"^MOUSETRAP_SIGNING_KEYS"):
        Settings.from_environ(given)


@pytest.mark.parametrize("by_file", [False, True])
def test_off_is_off_and_a_key_is_a_key_from_either_place(by_file: bool, tmp_path: Path) -> None:
    def keys(text: str) -> list[str]:
        path = tmp_path / "keys"
        path.write_text(text + "\n")
        given = {"MOUSETRAP_SIGNING_KEYS_FILE": str(path)} if by_file else {"MOUSETRAP_SIGNING_KEYS": text}
        return list(Settings.from_environ(given).keyring.keys)

    assert (keys("off"), keys(KEY)) == ([], ["k1"])
