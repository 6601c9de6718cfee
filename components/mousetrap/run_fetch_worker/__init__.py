"""Binds fetch_data to the stages that list and fetch feeds."""

from mousetrap.run_fetch_worker.bind import bind_fetch, bind_fetch_feeds, bind_list_feeds, run_fetch_worker

__all__ = ["bind_fetch", "bind_fetch_feeds", "bind_list_feeds", "run_fetch_worker"]
