"""Tests that any brick can declare settings."""

from typing import Annotated

import pytest
from msgspec import Meta

from mousetrap.settings import Group, Settings, SettingsGroup, SettingsWrong, check_address


class MailSettings(SettingsGroup, frozen=True, kw_only=True):
    """A group of a brick that is not the engine's."""

    server_url: str = "smtp://localhost"
    attempts: Annotated[int, Meta(ge=1, le=9)] = 3
    recipients: str = ""


class ServerSettings(SettingsGroup, frozen=True, kw_only=True):
    """A group whose `url` is another one's `server_url`."""

    url: str = ""


MAIL = Group("mail", MailSettings, checks={"server_url": check_address}, lists=frozenset({"recipients"}))


def read(**variables: str) -> Settings:
    return Settings.from_environ({f"MOUSETRAP_{name}": value for name, value in variables.items()}, [MAIL])


def test_a_group_is_read_with_the_engine() -> None:
    settings = read(CONCURRENCY="7", MAIL_ATTEMPTS="5", MAIL_RECIPIENTS="ann\nben")

    assert settings.concurrency == 7
    assert settings.of(MAIL) == MailSettings(attempts=5, recipients="ann\nben")


def test_a_group_of_which_nothing_is_given_has_its_defaults() -> None:
    assert read().of(MAIL) == Settings().of(MAIL) == MailSettings()


def test_a_group_that_was_not_read_is_an_error_and_not_its_defaults() -> None:
    with pytest.raises(SettingsWrong, match="the settings MOUSETRAP_MAIL_… were not read: pass their group"):
        Settings.from_environ({}).of(MAIL)


@pytest.mark.parametrize("prefix", ["mail", ""])
def test_two_groups_cannot_have_the_same_prefix(prefix: str) -> None:
    with pytest.raises(ValueError, match=f"two groups of settings have the prefix '{prefix}'"):
        Settings.from_environ({}, [MAIL, Group(prefix, SettingsGroup)])


def test_wrong_settings_of_all_groups_are_named_at_once() -> None:
    with pytest.raises(SettingsWrong) as wrong:
        read(MAIL_ATTEMPTS="10", CONCURRENCY="x", MAIL_SERVER_URL="smtp://me:@far", MAIL_RECIPIENTS="fine")

    assert [line.partition(":")[0] for line in str(wrong.value).splitlines()] == [
        "MOUSETRAP_MAIL_ATTEMPTS",
        "MOUSETRAP_CONCURRENCY",
        "MOUSETRAP_MAIL_SERVER_URL",
    ]
    assert str(wrong.value).startswith("MOUSETRAP_MAIL_ATTEMPTS: write a whole number from 1 to 9")


@pytest.mark.parametrize("name", ["MAIL_ATEMPTS", "MAIL_ATTEMPT", "MAIL_ATTEMPTSS"])
def test_an_unknown_variable_is_refused_with_the_nearest_name_of_any_group(name: str) -> None:
    with pytest.raises(
        SettingsWrong, match=f"MOUSETRAP_{name}: there is no .* write MOUSETRAP_MAIL_ATTEMPTS$"
    ):
        read(**{name: "4"})


def test_the_variable_of_a_group_that_is_not_listed_is_refused() -> None:
    with pytest.raises(SettingsWrong, match="MOUSETRAP_MAIL_ATTEMPTS: there is no such setting"):
        Settings.from_environ({"MOUSETRAP_MAIL_ATTEMPTS": "4"})


def test_only_a_list_has_several_lines() -> None:
    with pytest.raises(SettingsWrong, match="MOUSETRAP_MAIL_SERVER_URL: it has several lines"):
        read(MAIL_SERVER_URL="smtp://a\nsmtp://b")


def test_the_names_of_given_settings_have_their_prefix() -> None:
    given = Settings.given_in({"MOUSETRAP_MAIL_ATTEMPTS": "4", "MOUSETRAP_PREFETCH": "1"}, [MAIL])

    assert given == {"mail_attempts", "prefetch"}


def test_the_text_of_a_group_shows_no_value() -> None:
    settings = read(MAIL_SERVER_URL="smtp://me:sesame@far")

    assert "sesame" not in f"{settings!r} {settings.of(MAIL)!r}"


def test_two_groups_cannot_declare_the_same_variable() -> None:
    with pytest.raises(ValueError, match="two groups of settings declare MOUSETRAP_MAIL_SERVER_URL"):
        Settings.from_environ({}, [MAIL, Group("mail_server", ServerSettings)])
