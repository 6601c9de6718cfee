"""Keeps a run's log lines, and reads them by page."""

from mousetrap.run_logs.keeper import RunLogs, kept_lines
from mousetrap.run_logs.lines import LogReader, open_log_reader

__all__ = ["LogReader", "RunLogs", "kept_lines", "open_log_reader"]
