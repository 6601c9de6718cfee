"""Tests the example's settings."""

import json

import pytest

from mousetrap.earthquakes_settings import DATABASE, FEED, FETCH, default_input
from mousetrap.settings import Settings, SettingsWrong

GROUPS = (FEED, FETCH, DATABASE)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("DATABASE_URL", "mousetrap.db", "write an address"),
        (
            "DATABASE_URL",
            "postgresql+psycopg://me:CHANGE_ME@database/x",
            "its password is empty or a placeholder",
        ),
        ("FEED_URL", "http://", "it names no host"),
        ("FEED_URL", "https://u:short@h/feed", "it has a user or a password"),
        ("FEED_URLS", "http://a/ http://", "it names no host"),
        ("FETCH_ALLOW", "a,10.0.0.0/8", "'10.0.0.0/8' is not a host"),
        ("FETCH_ALLOW", "http://x/", "'http://x/' is not a host"),
        ("FETCH_ALLOW", "*", "'*' is not a host"),
        ("FETCH_SECONDS", "0.01", "write a number from 0.1"),
        ("FETCH_MAX_BYTES", "0", "write a whole number from 1 to 1073741824"),
    ],
)
def test_a_wrong_setting_is_named_with_what_to_write(name: str, value: str, complaint: str) -> None:
    with pytest.raises(SettingsWrong) as wrong:
        Settings.from_environ({f"MOUSETRAP_{name}": value}, GROUPS)

    assert str(wrong.value).startswith(f"MOUSETRAP_{name}: {complaint}")
    assert "short" not in str(wrong.value)


def test_store_and_database_are_asked_for_a_password_of_their_own_too() -> None:
    with pytest.raises(SettingsWrong) as wrong:
        Settings.from_environ(
            {
                "MOUSETRAP_STORE_URL": "valkey://:CHANGE_ME@store:6379/0",
                "MOUSETRAP_DATABASE_URL": "postgresql+psycopg://mousetrap:CHANGE_ME@database/mousetrap",
            },
            GROUPS,
        )

    store, database = str(wrong.value).splitlines()
    assert store.startswith("MOUSETRAP_STORE_URL: its password")
    assert database.startswith("MOUSETRAP_DATABASE_URL: its password")


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://peer@database/mousetrap", "sqlite:////data/a@b.db", "sqlite:///x"]
)
def test_a_database_without_a_password_is_accepted(url: str) -> None:
    settings = Settings.from_environ({"MOUSETRAP_DATABASE_URL": url}, GROUPS)

    assert settings.of(DATABASE).url == url


def test_unusual_places_are_accepted() -> None:
    places = "localhost, [::1]:8080,::1, 10.0.0.1:80, my_feed,"

    assert Settings.from_environ({"MOUSETRAP_FETCH_ALLOW": places}, GROUPS).of(FETCH).allow == places


@pytest.mark.parametrize("url", ["", "http://intranet/week"])
def test_a_run_without_input_reads_the_feed_of_the_settings(url: str) -> None:
    settings = Settings.from_environ({"MOUSETRAP_FEED_URL": url}, GROUPS)

    read = json.loads(default_input(settings))["url"]
    assert read == url or (not url and read.startswith("https://earthquake.usgs.gov/"))
