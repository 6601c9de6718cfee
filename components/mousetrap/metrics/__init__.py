"""Counts what happens, and writes it for Prometheus; it loads prometheus_client."""

from mousetrap.metrics.families import CONTENT_TYPE, Exposition
from mousetrap.metrics.names import BUCKETS_S, OTHER, WORKER, Name
from mousetrap.metrics.times import Times
from mousetrap.metrics.worker_numbers import OUTCOMES, REASONS, WorkerFacts, WorkerNumbers, waited_s

__all__ = [
    "BUCKETS_S",
    "CONTENT_TYPE",
    "OTHER",
    "OUTCOMES",
    "REASONS",
    "WORKER",
    "Exposition",
    "Name",
    "Times",
    "WorkerFacts",
    "WorkerNumbers",
    "waited_s",
]
