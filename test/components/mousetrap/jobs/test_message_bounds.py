"""The messages that every broker accepts."""

from typing import Any

import pytest

from mousetrap.jobs import Message, check_message


@pytest.mark.parametrize(
    "message",
    [
        Message("", b""),
        Message("i" * 255, b"b" * 16_777_216),
        Message("id", b"body", {"mousetrap-empty": "", "mousetrap-" + "n" * 245: "ünï"}),
        Message("id", b"body", {"mousetrap-long": "v" * 65_516}),
    ],
)
def test_what_any_broker_takes_passes(message: Message) -> None:
    check_message(message)


@pytest.mark.parametrize(
    ("message", "error", "words"),
    [
        (Message("id", b"b" * 16_777_217), ValueError, "the body has 16777217 bytes"),
        (Message("ü" * 128, b""), ValueError, "id has more than 255 bytes"),
        (Message("id", b"", {"CC": "elsewhere"}), ValueError, "'CC': its name must start with mousetrap-"),
        (Message("id", b"", {"mousetrap-" + "n" * 246: "v"}), ValueError, "of 255 bytes at most"),
        (Message("id", b"", {"mousetrap-long": "v" * 65_517}), ValueError, "more than 65536 bytes together"),
    ],
)
def test_what_a_broker_would_misread_or_refuse_does_not(
    message: Message, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        check_message(message)


def test_a_header_that_is_not_text_does_not_pass() -> None:
    headers: Any = {"mousetrap-number": 1}
    with pytest.raises(TypeError, match="must be text"):
        check_message(Message("id", b"", headers))
