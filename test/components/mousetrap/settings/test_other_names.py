"""Settings of other task queues are answered with ours."""

import re

import pytest

from mousetrap.catalogue import SETTINGS
from mousetrap.settings import ENGINE, Settings, SettingsWrong, entries, unread_names
from mousetrap.settings.other_names import OTHER_NAMES


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_name_of_theirs_is_refused_with_ours(name: str) -> None:
    with pytest.raises(SettingsWrong) as refused:
        Settings.from_environ({f"MOUSETRAP_{name}": "x"})

    assert str(refused.value) == f"MOUSETRAP_{name}: there is no such setting: here it is {OTHER_NAMES[name]}"


def test_every_name_that_a_hint_gives_is_a_setting() -> None:
    known = {f"MOUSETRAP_{name.upper()}" for name in entries((ENGINE, *SETTINGS))}
    given = {name for text in OTHER_NAMES.values() for name in re.findall(r"MOUSETRAP_\w+", text)}

    assert given <= known
    assert not {f"MOUSETRAP_{name}" for name in OTHER_NAMES} & known


def test_a_variable_of_theirs_is_named_unless_ours_is_given() -> None:
    theirs = {"BROKER_DSN": "amqp://x", "HEARTBEAT": "5"}

    assert list(unread_names(theirs)) == ["BROKER_DSN is set, and not read: here it is MOUSETRAP_BROKER_URL"]
    assert list(unread_names({**theirs, "MOUSETRAP_BROKER_URL": "amqp://x"})) == []
    assert list(unread_names({**theirs, "MOUSETRAP_BROKER_URL_FILE": "f"})) == []
