"""Counts what happens, and writes it for Prometheus; it loads prometheus_client."""

from mousetrap.metrics.api_numbers import Acts, ApiNumbers, ClusterFacts
from mousetrap.metrics.families import CONTENT_TYPE, Exposition
from mousetrap.metrics.names import API, BUCKETS_S, OTHER, WORKER, Name
from mousetrap.metrics.times import Times
from mousetrap.metrics.worker_numbers import ENDS, OUTCOMES, REASONS, WorkerFacts, WorkerNumbers

__all__ = [
    "API",
    "BUCKETS_S",
    "CONTENT_TYPE",
    "ENDS",
    "OTHER",
    "OUTCOMES",
    "REASONS",
    "WORKER",
    "Acts",
    "ApiNumbers",
    "ClusterFacts",
    "Exposition",
    "Name",
    "Times",
    "WorkerFacts",
    "WorkerNumbers",
]
