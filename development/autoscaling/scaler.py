"""Computes how many workers KEDA and Kubernetes would want: pure.

From one worker on, Kubernetes' HorizontalPodAutoscaler decides each fifteen seconds; KEDA hands it the numbers, asked of the API then. Between
none and one, KEDA decides itself, each `pollingInterval`. Written from both projects' documentation, for one ScaledObject with
triggers of metrics-api.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any

#: Defaults of Kubernetes: seconds between two decisions, and the share by which a number may miss its target.
SYNC_S, TOLERANCE = 15.0, 0.1

Numbers = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Trigger:
    """A number of the API's answer, and what it should be."""

    location: str
    target: float
    #: Whether the target is for each worker; else it is for all, and the workers grow as the number exceeds it.
    is_average: bool

    def workers(self, numbers: Numbers, replicas: int, serving: int) -> int:
        """How many workers this number asks for."""
        value = numbers[self.location]
        ratio = value / (self.target * (replicas if self.is_average else 1)) if replicas else value
        if replicas and abs(ratio - 1) <= TOLERANCE:
            return replicas
        return ceil(value / self.target) if self.is_average else ceil(value / self.target * serving)


@dataclass(frozen=True, slots=True)
class Policy:
    """How many workers may come or go within a period: a number, or a share of those at its begin."""

    value: float
    is_share: bool
    period_s: float

    def up(self, begin: int) -> int:
        return ceil(begin * (1 + self.value / 100)) if self.is_share else begin + int(self.value)

    def down(self, begin: int) -> int:
        return floor(begin * (1 - self.value / 100)) if self.is_share else begin - int(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a ScaledObject has."""

    least: int
    most: int
    triggers: tuple[Trigger, ...]
    up: tuple[Policy, ...]
    down: tuple[Policy, ...]
    #: Seconds: for so long the greatest number of the past holds back what would take workers away.
    down_window_s: float
    #: Between none and one worker: how often KEDA looks, and how long nothing may wait before the last one goes.
    polling_s: float
    cooldown_s: float


def read_rules(scaled_object: Mapping[str, Any], queue: str) -> Rules:
    """The rules of a manifest, with the triggers that ask for this queue."""
    spec = scaled_object["spec"]
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    return Rules(
        least=spec["minReplicaCount"],
        most=spec["maxReplicaCount"],
        triggers=tuple(
            Trigger(
                it["metadata"]["valueLocation"],
                float(it["metadata"]["targetValue"]),
                it["metricType"] == "AverageValue",
            )
            for it in spec["triggers"]
            if it["metadata"]["url"].endswith(f"/queues/{queue}")
        ),
        up=_policies(behavior["scaleUp"]),
        down=_policies(behavior["scaleDown"]),
        down_window_s=behavior["scaleDown"]["stabilizationWindowSeconds"],
        polling_s=spec.get("pollingInterval", 30),
        cooldown_s=spec.get("cooldownPeriod", 300),
    )


def _policies(behavior: Mapping[str, Any]) -> tuple[Policy, ...]:
    return tuple(
        Policy(it["value"], it["type"] == "Percent", it["periodSeconds"]) for it in behavior["policies"]
    )


@dataclass
class Scaler:
    """Decides how many workers there are to be, with what it remembers of the past."""

    rules: Rules
    _wanted: list[tuple[float, int]] = field(default_factory=list)
    _changes: list[tuple[float, int]] = field(default_factory=list)
    _active_s: float = 0.0

    def decide(self, now_s: float, numbers: Numbers | None, replicas: int, serving: int) -> int:
        """The autoscaler's decision, of the API's numbers; without them nothing changes."""
        if numbers is None or not replicas:
            return replicas
        rules = self.rules
        wanted = max(it.workers(numbers, replicas, serving) for it in rules.triggers)
        self._wanted = [it for it in self._wanted if it[0] > now_s - rules.down_window_s] + [(now_s, wanted)]
        held = max(number for _, number in self._wanted)
        target = wanted if wanted > replicas else min(replicas, held)
        target = self._bounded(now_s, target, replicas)
        if target != replicas:
            self._changes.append((now_s, target - replicas))
        return target

    def poll(self, now_s: float, numbers: Numbers | None, replicas: int) -> int:
        """KEDA's decision between none and one worker."""
        if numbers is not None and any(numbers[it.location] > 0 for it in self.rules.triggers):
            self._active_s = now_s
            return max(replicas, 1)
        is_over = numbers is not None and now_s - self._active_s > self.rules.cooldown_s
        return 0 if self.rules.least == 0 and is_over else replicas

    def _bounded(self, now_s: float, target: int, replicas: int) -> int:
        rules = self.rules
        if target > replicas:
            most = max(it.up(self._at_begin(now_s, it, replicas)) for it in rules.up)
            target = max(replicas, min(target, most))
        elif target < replicas:
            least = min(it.down(self._at_begin(now_s, it, replicas)) for it in rules.down)
            target = min(replicas, max(target, least))
        return min(max(target, rules.least, 1), rules.most)

    def _at_begin(self, now_s: float, policy: Policy, replicas: int) -> int:
        """How many there were when the period began."""
        return replicas - sum(change for at_s, change in self._changes if at_s > now_s - policy.period_s)


def numbers_of(answer: Mapping[str, Any], triggers: Sequence[Trigger]) -> Numbers:
    """The numbers of an answer of `GET /queues/{queue}`. Raises KeyError for a place that it does not have."""
    return {it.location: float(answer[it.location]) for it in triggers}
