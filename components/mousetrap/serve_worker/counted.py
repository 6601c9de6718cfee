"""Counts a worker's jobs for Prometheus, where that is asked for."""

import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mousetrap.handlers import Binding
from mousetrap.serve_worker.vitals import Vitals
from mousetrap.settings import MISSING_METRICS, Settings, SettingsWrong
from mousetrap.telemetry import version_of_program

if TYPE_CHECKING:
    from mousetrap.metrics import WorkerNumbers
    from mousetrap.serve_worker.health import Page

_log = logging.getLogger("mousetrap.worker")

_UNSERVED = "MOUSETRAP_METRICS is on, but nothing serves what this worker would count: set MOUSETRAP_HEALTH_PORT (0 takes a free port)"


@dataclass(frozen=True, slots=True)
class Counted:
    """What counts, and the page that shows it; nothing, and no library loaded, unless MOUSETRAP_METRICS is on."""

    observers: "Sequence[WorkerNumbers]" = ()
    page: "Page | None" = None

    @classmethod
    def of(cls, settings: Settings, vitals: Vitals) -> "Counted":
        """As the settings have it. Raises SettingsWrong where the library is missing."""
        if not settings.metrics:
            return cls()
        if not settings.health_port:
            _log.warning(_UNSERVED)
            return cls()
        try:
            from mousetrap.metrics import CONTENT_TYPE, Exposition, WorkerFacts, WorkerNumbers
        except ModuleNotFoundError as error:
            raise SettingsWrong(MISSING_METRICS) from error

        def facts() -> WorkerFacts:
            connected = {part: part not in vitals.away for part in vitals.outages}
            return WorkerFacts(
                slots=vitals.stats.concurrency or settings.concurrency,
                prefetched=vitals.stats.prefetched(),
                hung=len(vitals.stats.hung()),
                connected=connected,
                outages=vitals.outages,
                blocked=vitals.blocked,
                beat_s=vitals.beat_s,
            )

        counts = WorkerNumbers(facts, version_of_program())
        return cls((counts,), (CONTENT_TYPE, Exposition(counts.collect).text))

    @property
    def watches(self) -> Sequence[Callable[[], Coroutine[Any, Any, None]]]:
        """What measures beside the jobs, until it is cancelled."""
        return [each.watch_loop for each in self.observers]

    def declare(self, bindings: Sequence[Binding]) -> None:
        """Counts the jobs of these."""
        for binding in bindings:
            for each in self.observers:
                each.declare(binding.pipeline, binding.stage)
