"""Logs, named once: one line an event, as text or JSON, with the ids that connect it to a run."""

from mousetrap.telemetry.logs import log_to_stderr

__all__ = ["log_to_stderr"]
