"""Runs handlers and pipelines in a test, without servers."""

from mousetrap.testing.flaky import Flaky
from mousetrap.testing.perform import outcome_of, outcome_of_async, perform, perform_async
from mousetrap.testing.run import run, run_async
from mousetrap.testing.stack import Stack
from mousetrap.testing.world import World
from mousetrap.testing.world_run import NotCompleted, WorldRun

__all__ = [
    "Flaky",
    "NotCompleted",
    "Stack",
    "World",
    "WorldRun",
    "outcome_of",
    "outcome_of_async",
    "perform",
    "perform_async",
    "run",
    "run_async",
]
