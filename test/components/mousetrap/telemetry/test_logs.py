"""Log lines have their facts, and never a password."""

import json
import logging
from collections.abc import Iterator
from contextlib import redirect_stderr
from io import StringIO

import pytest
from hypothesis import given

from mousetrap.telemetry import log_to_stderr
from support.characters import ANY_TEXT, unsafe
from support.hostile_handlers import ERRORS


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_a_text_line_ends_with_its_facts(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("INFO", "text")

    logging.getLogger("x").info("done", extra={"run": "r1", "attempt": 2})

    assert capsys.readouterr().err.rstrip().endswith("INFO    done run=r1 attempt=2")


def test_a_json_line_has_its_facts_as_keys_and_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("INFO", "json")

    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("x").exception("failed", extra={"run": "r1"})

    line = json.loads(capsys.readouterr().err)
    assert (line["message"], line["run"], line["level"]) == ("failed", "r1", "ERROR")
    assert line["traceback"].endswith("ValueError: no")


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_password_in_an_address_is_masked_wherever_it_stands(
    style: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr("INFO", style)  # type: ignore[arg-type]

    try:
        raise ConnectionError("amqp://u:sesame@h is away")
    except ConnectionError:
        logging.getLogger("x").exception("lost amqp://u:sesame@h", extra={"url": "amqp://u:sesame@h"})

    assert "sesame" not in capsys.readouterr().err


class Odd:
    """A value whose `__str__` fails."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


def logged(style: str, message: str, *arguments: object, **more: object) -> list[str]:
    """The lines of one record."""
    err = StringIO()
    with redirect_stderr(err):
        log_to_stderr("INFO", style)  # type: ignore[arg-type]
        logging.getLogger("x").error(message, *arguments, **more)  # type: ignore[arg-type]
    return err.getvalue().removesuffix("\n").split("\n")


@given(ANY_TEXT, ANY_TEXT)
@pytest.mark.parametrize("style", ["text", "json"])
def test_a_record_is_one_line_whatever_its_message_and_facts_hold(style: str, text: str, fact: str) -> None:
    (line,) = logged(style, "a job of run %s", text, extra={"run": fact, "facts": {fact: text}})

    assert not unsafe(line)


@given(ANY_TEXT, ANY_TEXT)
@pytest.mark.parametrize("style", ["text", "json"])
def test_what_follows_a_record_cannot_be_taken_for_another(style: str, text: str, stack: str) -> None:
    try:
        raise ValueError(f"{text}\n2026-01-02 03:04:05,678 INFO    a forged log line")
    except ValueError as error:
        first, *rest = logged(style, "failed", exc_info=error, extra={"stack": stack})

    assert rest or style == "json"
    assert all(line.startswith("  ") for line in rest)
    assert not any(unsafe(line) for line in (first, *rest))


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize(
    ("message", "arguments", "fact"),
    [
        ("%d of %s", (), "one argument"),
        ("%d", ("no number",), "another type"),
        ("%s", (Odd(),), "an argument that has no text"),
        ("x", (), Odd()),
        ("x", (), float("nan")),
        ("x", (), {("no", "key"): 1}),
    ],
)
def test_no_record_is_lost_for_what_it_holds(
    style: str, message: str, arguments: tuple[object, ...], fact: object
) -> None:
    (line,) = logged(style, message, *arguments, extra={"run": "r1", "fact": fact})

    assert "r1" in line
    assert message.split()[0] in line or not arguments
    if style == "json":
        json.loads(line, parse_constant=pytest.fail)


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("kind", sorted(ERRORS))
def test_an_error_of_any_make_is_logged_in_a_page_or_two(
    style: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr("INFO", style)  # type: ignore[arg-type]

    try:
        raise ERRORS[kind]()
    except BaseException:
        logging.getLogger("x").exception("failed")

    written = capsys.readouterr().err
    assert "failed" in written
    assert "Logging error" not in written
    assert "test_logs.py" in written or "huge" in kind
    assert len(written) < 200_000
