"""Logs, named once: one line an event, as text or JSON, with the ids that connect it to a run. And text that is safe to print."""

from mousetrap.telemetry.logs import log_to_stderr
from mousetrap.telemetry.outage_log import OutageLog
from mousetrap.telemetry.printable import below, one_line, printable, printable_json

__all__ = ["OutageLog", "below", "log_to_stderr", "one_line", "printable", "printable_json"]
