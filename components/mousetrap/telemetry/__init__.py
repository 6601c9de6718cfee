"""Logs, and the events of a worker behind logs and statistics."""

from mousetrap.telemetry.attempt_facts import (
    AttemptFacts,
    AttemptFilter,
    belongs_to,
    current_attempt,
    log_facts,
)
from mousetrap.telemetry.kept_line import KeptLine, LineKeeper
from mousetrap.telemetry.logs import log_to_stderr
from mousetrap.telemetry.observer import EventLog, Observer, Observers, waited_ms
from mousetrap.telemetry.outage_log import OutageLog
from mousetrap.telemetry.printable import below, one_line, printable, printable_json
from mousetrap.telemetry.version import version_of_program

__all__ = [
    "AttemptFacts",
    "AttemptFilter",
    "EventLog",
    "KeptLine",
    "LineKeeper",
    "Observer",
    "Observers",
    "OutageLog",
    "belongs_to",
    "below",
    "current_attempt",
    "log_facts",
    "log_to_stderr",
    "one_line",
    "printable",
    "printable_json",
    "version_of_program",
    "waited_ms",
]
