"""Binds process_data to the stage `process` of the earthquakes pipeline."""

from mousetrap.run_process_worker.bind import bind_process, run_process_worker

__all__ = ["bind_process", "run_process_worker"]
