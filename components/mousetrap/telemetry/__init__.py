"""Logs, and the events of a worker behind logs and statistics."""

from mousetrap.telemetry.logs import log_to_stderr
from mousetrap.telemetry.observer import EventLog, Observer, Observers
from mousetrap.telemetry.outage_log import OutageLog
from mousetrap.telemetry.printable import below, one_line, printable, printable_json

__all__ = [
    "EventLog",
    "Observer",
    "Observers",
    "OutageLog",
    "below",
    "log_to_stderr",
    "one_line",
    "printable",
    "printable_json",
]
