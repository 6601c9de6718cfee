"""Log lines carry their facts, and never a password."""

import json
import logging
from collections.abc import Iterator

import pytest

from mousetrap.telemetry import log_to_stderr


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
