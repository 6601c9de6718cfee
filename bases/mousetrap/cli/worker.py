"""Serves any of the stages in one process."""

from collections.abc import Mapping, Sequence

from mousetrap.api_client import Misused
from mousetrap.job_queue import open_queue
from mousetrap.run_fetch_worker import bind_fetch
from mousetrap.run_process_worker import bind_process
from mousetrap.serve_worker import Binder, serve_worker

#: The list to add your own stage to.
BINDERS: Mapping[str, Binder] = {"fetch": bind_fetch, "process": bind_process}


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
        raise Misused(f"name the stages to serve: {', '.join(BINDERS)}")
    if unknown := [stage for stage in stages if stage not in BINDERS]:
        raise Misused(f"there is no stage {unknown[0]!r}: choose from {', '.join(BINDERS)}")
    binders = [BINDERS[stage] for stage in dict.fromkeys(stages)]
    return serve_worker(
        open_queue,
        binders,
        environ,
        concurrency=concurrency,
        prefetch=prefetch,
        burst=burst,
        auto_kill=auto_kill,
    )
