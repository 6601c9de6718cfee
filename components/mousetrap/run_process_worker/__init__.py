"""Binds process_data to the stages that summarise and compare feeds."""

from mousetrap.run_process_worker.bind import (
    bind_compare,
    bind_count,
    bind_process,
    bind_report,
    run_process_worker,
)

__all__ = ["bind_compare", "bind_count", "bind_process", "bind_report", "run_process_worker"]
