"""A worker that copies blobs in each way of running handlers."""

import sys

from mousetrap.blobs import Blob
from mousetrap.handlers import Binding
from mousetrap.job_queue import open_queue
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.serve_worker import worker_main
from mousetrap.settings import Settings
from support import isolated_blobs


def _copies(name: str) -> Pipeline:
    stage = Stage(name="copy", queue=f"copy_{name}", input=Blob, output=Blob)
    return Pipeline(name=name, description="Copies a blob.", stages=(stage,))


THREAD, LOOP, APART = map(_copies, ("thread", "loop", "apart"))


def bind_thread(_: Settings) -> Binding:
    """What is done in a thread."""
    return Binding(pipeline=THREAD, stage="copy", handler=isolated_blobs.copy)


def bind_loop(_: Settings) -> Binding:
    """What is done on the event loop."""
    return Binding(pipeline=LOOP, stage="copy", handler=isolated_blobs.copy_async)


def bind_apart(_: Settings) -> Binding:
    """What is done in a process of its own."""
    return Binding(pipeline=APART, stage="copy", handler=isolated_blobs.copy, isolated=True)


if __name__ == "__main__":
    sys.exit(
        worker_main(open_queue, [bind_thread, bind_loop, bind_apart], "blobs", "Serves copies of blobs.")
    )
