"""Passes on the lines of handlers, to be kept with their runs."""

import logging
from collections.abc import Callable

import msgspec

from mousetrap.retry import encodable
from mousetrap.telemetry.attempt_facts import AttemptFacts, current_attempt
from mousetrap.telemetry.logs import message_of

#: Characters of a line that are kept: of a longer one the beginning, and twice as many of its end.
_HEAD, _TAIL = 1_000, 2_000


class KeptLine(msgspec.Struct, frozen=True, gc=False):
    """A line, and whose it is."""

    facts: AttemptFacts
    #: Milliseconds since 1970.
    at_ms: int
    level: str
    logger: str
    message: str
    #: Lines of the attempt before it that were not kept, as a process of its own was flooding.
    left_out: int = 0


class LineKeeper(logging.Handler):
    """Gives each line that a handler causes to `keep`, which returns at once; lines of no attempt pass by."""

    def __init__(self, keep: Callable[[KeptLine], None], level: str | int) -> None:
        super().__init__(level)
        self.keep = keep

    def emit(self, record: logging.LogRecord) -> None:
        """Raises nothing into what logs."""
        facts = current_attempt()
        if facts is None:
            return
        try:
            level, logger, message = map(encodable, (record.levelname, record.name, cut(message_of(record))))
            self.keep(KeptLine(facts, int(record.created * 1000), level, logger, message))
        except Exception:  # noqa: BLE001  as every handler of the library does
            self.handleError(record)


def cut(text: str) -> str:
    """A long text without its middle."""
    if len(text) <= _HEAD + _TAIL:
        return text
    return f"{text[:_HEAD]} [… {len(text) - _HEAD - _TAIL} characters …] {text[-_TAIL:]}"
