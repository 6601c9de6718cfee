"""Serves any of the stages in one process."""

from collections.abc import Mapping, Sequence

from mousetrap.api_client import Misused
from mousetrap.catalogue import SETTINGS, WORKERS
from mousetrap.catalogue_entries import load
from mousetrap.job_queue import open_queue
from mousetrap.serve_worker import serve_worker


def worker(
    environ: Mapping[str, str],
    stages: Sequence[str],
    *,
    concurrency: int | None,
    prefetch: int | None,
    burst: bool,
    auto_kill: float | None,
) -> int:
    """The command: the worker's own exit code."""
    if not stages:
        raise Misused(f"name the stages to serve: {', '.join(WORKERS)}")
    if unknown := [stage for stage in stages if stage not in WORKERS]:
        raise Misused(f"there is no stage {unknown[0]!r}: choose from {', '.join(WORKERS)}")
    binders = [load(WORKERS[stage].binder) for stage in dict.fromkeys(stages)]
    return serve_worker(
        open_queue,
        binders,
        environ,
        concurrency=concurrency,
        prefetch=prefetch,
        burst=burst,
        auto_kill=auto_kill,
        groups=SETTINGS,
    )
