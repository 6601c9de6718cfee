"""Writes the log to standard error and masks passwords in addresses."""

import json
import logging
import sys
from typing import Any, Literal

from mousetrap.retry import error_traceback
from mousetrap.settings import masked
from mousetrap.telemetry.attempt_facts import NAMES, AttemptFilter
from mousetrap.telemetry.printable import below, one_line

#: The attributes of every record; all others were given as `extra` and are shown after the message.
_USUAL = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}
#: An extra of several lines: a stack. It follows the record, as a traceback does.
_STACK = "stack"
#: What is known of a line that is kept with its run, or follows it.
_NOT_OF_MESSAGE = frozenset((*NAMES, _STACK))
#: Characters of a traceback's end that are written.
_MAX_TRACEBACK = 64_000


def log_to_stderr(level: str, style: Literal["text", "json"]) -> None:
    """Sends everything from `level` up to standard error. Replaces what was set up before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if style == "json" else _Text())
    handler.addFilter(AttemptFilter())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def message_of(record: logging.LogRecord) -> str:
    """The record's message, its facts but those of its attempt, and what follows it, without secrets."""
    facts = "".join(
        f" {key}={_text(value)}" for key, value in _extra(record).items() if key not in _NOT_OF_MESSAGE
    )
    return masked("\n".join((f"{_message(record)}{facts}", *_behind(record))))


class _Formatter(logging.Formatter):
    def formatException(self, ei: Any) -> str:
        """The traceback, with a limit, even of an error whose own code fails."""
        return error_traceback(ei[1], _MAX_TRACEBACK).rstrip("\n") if ei[1] is not None else ""


class _Text(_Formatter):
    """A line for each record; a traceback or stack follows it indented, so that nothing in it looks like a record."""

    def format(self, record: logging.LogRecord) -> str:
        facts = "".join(f" {key}={_text(value)}" for key, value in _extra(record).items() if key != _STACK)
        line = one_line(f"{record.levelname:<7} {_message(record)}{facts}")
        return masked("\n".join((f"{self.formatTime(record)} {line}", *map(below, _behind(record)))))


class _Json(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            **_extra(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return masked(_dumped(line))


_formatter = _Formatter()


def _behind(record: logging.LogRecord) -> list[str]:
    """What follows the record."""
    texts = [_text(record.__dict__[_STACK])] if _STACK in record.__dict__ else []
    texts += [_formatter.formatException(record.exc_info)] if record.exc_info else []
    texts += [_formatter.formatStack(record.stack_info)] if record.stack_info else []
    return texts


def _dumped(line: dict[str, object]) -> str:
    try:
        return json.dumps(line, default=_text, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # a number or a structure that JSON has not
        return json.dumps({key: _text(value) for key, value in line.items()})


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001  arguments that do not fit, or whose text cannot be made
        return f"{record.msg} (its arguments cannot be shown: {type(error).__name__})"


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in record.__dict__.items() if key not in _USUAL}


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  the other facts must stay readable
        return f"<a {type(value).__name__} whose text cannot be made: {type(error).__name__}>"
