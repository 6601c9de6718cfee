"""Reads declarations, and names what is wrong in them."""

import pytest

from mousetrap.celery_messages import DeclaredWrong, read_declared


def test_declarations_are_read() -> None:
    declared = read_declared('queues = ["a", "b"]\n[tasks]\n"t.x" = "x"\n[routes]\n"t.mail" = "mail"')

    assert declared.queues == ("a", "b")
    assert [declared.queue_of(task) for task in ("t.x", "t.mail", "t.other")] == ["a", "mail", "celery"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[tasks", "end of document"),
        ("[tasks]\na = 5", r"Expected `str`, got `int` - at `\$.tasks"),
        ('task = "x"', "unknown field `task`"),
        ("", "declares no task"),
        ('queues = []\n[tasks]\n"a" = "b"', "or no queue"),
    ],
)
def test_what_is_wrong_is_named(text: str, why: str) -> None:
    with pytest.raises(DeclaredWrong, match=why):
        read_declared(text)
