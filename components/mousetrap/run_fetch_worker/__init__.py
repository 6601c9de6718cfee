"""Binds fetch_data to the stage `fetch` of the earthquakes pipeline."""

from mousetrap.run_fetch_worker.bind import bind_fetch, run_fetch_worker

__all__ = ["bind_fetch", "run_fetch_worker"]
