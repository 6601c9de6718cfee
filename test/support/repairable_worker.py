"""Runs a worker that fails on some feeds until REPAIRED is set."""

import os
import signal
import sys

from mousetrap.earthquakes import EARTHQUAKES, Earthquake, Feed, FeedRequest
from mousetrap.handlers import Binding
from mousetrap.job_queue import open_queue
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.serve_worker import worker_main
from mousetrap.settings import Settings

#: Attempts that an error costs, and workers that an attempt may kill.
ATTEMPTS, CRASHES = 3, 3

_FETCH, _PROCESS = EARTHQUAKES.stages
_RETRY = RetryPolicy(attempts=ATTEMPTS, base=0.01, cap=0.01, crashes=CRASHES)
_PIPELINE = Pipeline(
    name=EARTHQUAKES.name,
    description=EARTHQUAKES.description,
    stages=(
        Stage(name=_FETCH.name, queue=_FETCH.queue, input=FeedRequest, output=Feed, retry=_RETRY),
        _PROCESS,
    ),
)


def fetch(request: FeedRequest) -> Feed:
    """Always the same feed, if it comes to that."""
    if "REPAIRED" not in os.environ:
        if "poison" in request.url:
            raise ConnectionError("this feed is poison")
        if "killer" in request.url:
            os.kill(os.getpid(), signal.SIGKILL)
    return Feed("One", 1, [Earthquake("e1", 4.2, "Somewhere", 1, 10.0, 20.0, 5.0, "earthquake")])


def bind(_: Settings) -> Binding:
    """The stage with its handler."""
    return Binding(pipeline=_PIPELINE, stage=_FETCH.name, handler=fetch)


if __name__ == "__main__":
    sys.exit(worker_main(open_queue, [bind], "repairable", "Serves a handler that is to be repaired."))
