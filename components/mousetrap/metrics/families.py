"""Writes numbers in the form that Prometheus reads."""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from mousetrap.metrics import names
from mousetrap.metrics.names import BUCKETS_S, Name
from mousetrap.metrics.times import Times

#: Of what `Exposition.text` returns.
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_BOUNDS = (*(f"{bound:g}" for bound in BUCKETS_S), "+Inf")

#: Values by the labels that they have, in the order of the metric's.
Labels = tuple[str, ...]
#: What gives the numbers of this moment; called from any thread.
Source = Callable[[], Iterable[Metric]]


def numbers(name: Name, values: Mapping[Labels, float]) -> Metric:
    """A counter or a gauge."""
    kind = CounterMetricFamily if name.kind == "counter" else GaugeMetricFamily
    family = kind(name.name, name.about, labels=name.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def histogram(name: Name, values: Mapping[Labels, Times]) -> Metric:
    """A histogram."""
    family = HistogramMetricFamily(name.name, name.about, labels=name.labels)
    for labels, times in values.items():
        family.add_metric(labels, list(zip(_BOUNDS, times.up_to(), strict=True)), times.total_s)
    return family


def connected(there: Mapping[str, bool]) -> Metric:
    """Whether each server answers."""
    return numbers(names.CONNECTED, {(to,): answers for to, answers in there.items()})


def blocked(broker: bool) -> Metric:
    """Whether the broker lacks memory or disk."""
    return numbers(names.BROKER_BLOCKED, {(): broker})


def build_info(version: str) -> Metric:
    """What runs here."""
    return numbers(names.BUILD_INFO, {(version, platform.python_version()): 1})


class Exposition:
    """What one process has to say: our numbers, and its own use of CPU, memory and files."""

    def __init__(self, *sources: Source) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        for source in sources:
            self._registry.register(_Sourced(source))

    def text(self) -> bytes:
        """The numbers of this moment."""
        return generate_latest(self._registry)


class _Sourced(Collector):
    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """The library gives the name."""
        yield from self._source()
