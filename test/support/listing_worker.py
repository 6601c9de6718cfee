"""A worker whose handler lists the modules that the process has loaded."""

import sys

from mousetrap.handlers import Binding
from mousetrap.job_queue import open_queue
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.serve_worker import worker_main
from mousetrap.settings import Settings

LISTING = Pipeline(
    name="listing",
    description="Lists modules.",
    stages=(Stage(name="list", queue="test_listing", input=int, output=list[str]),),
)


async def loaded(_: int) -> list[str]:
    """The top level packages."""
    return sorted({name.partition(".")[0] for name in sys.modules})


def bind(_: Settings) -> Binding:
    """The only one."""
    return Binding(pipeline=LISTING, stage="list", handler=loaded)


if __name__ == "__main__":
    sys.exit(worker_main(open_queue, [bind], "listing", "Lists modules."))
