"""Defines what breaks a deployment while its runs fan out."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from chaos.deployment import Deployment
from chaos.faults import FAULTS, OF_A_CLUSTER, Fault, Span, Timed, strike_at
from chaos.points import FanPoint
from chaos.store_cluster_faults import OF_A_STORE_CLUSTER
from chaos.workload import KINDS
from support.waiting import until

#: Seconds until children of a run are done that was just accepted.
_CHILDREN_S = 60.0
#: Faults of all kinds that strike in the middle of a fan-out.
_IN_A_FAN = (
    "worker SIGKILL",
    "all workers SIGKILL",
    "zombie",
    "rolling SIGTERM",
    "broker SIGKILL",
    "queues full",
    "broker TCP cut",
    "acknowledgements lost",
    "confirms lost",
    "store SIGKILL",
    "store paused",
    "store TCP cut",
    "store out of memory",
)
#: The same of clusters. Where a replica is behind, a run that fans out may stand still for days, so that is left out here.
_IN_A_FAN_ON_CLUSTERS = (
    "leader SIGKILL",
    "quorum lost and regained",
    "leader cut off for a moment",
    "primary SIGKILL",
    "primary SIGKILL, back at once",
    "primary handed over",
    "slots moved",
)


def cancel_at_half(deployment: Deployment) -> Span:
    """A caller calls a run off when half of its children are done."""
    (run,) = deployment.submit("fan_off")
    half = KINDS["fan_off"].children // 2
    with Timed() as timed:
        until(
            lambda: _children(deployment, run, "done") >= half, "half of the children are done", _CHILDREN_S
        )
        deployment.call_off(run)
    return timed.span


def _children(deployment: Deployment, run: str, what: str) -> int:
    return sum(
        line.run == run and line.what == what and line.stage == "read" for line in deployment.ledger.all()
    )


def _in_a_fan(strike: Callable[[Deployment], Span]) -> Callable[[Deployment], Span]:
    """Strikes once a run has begun its children."""

    def strike_later(deployment: Deployment) -> Span:
        (run,) = deployment.submit("fan")
        until(lambda: _children(deployment, run, "begun"), "a child begins", _CHILDREN_S)
        return strike(deployment)

    return strike_later


def _at_point(point: FanPoint) -> Fault:
    def strike(deployment: Deployment) -> Span:
        at = strike_at(deployment, point, "kill")
        return Span(at, at)

    return Fault(f"kill at {point}", "worker killed at a point", strike)


def _chosen(names: Sequence[str], among: Sequence[Fault]) -> list[Fault]:
    return [replace(fault, strike=_in_a_fan(fault.strike)) for fault in among if fault.name in names]


#: A worker is killed at each point of a fan-out, and a run is called off in its middle.
OF_A_FAN = (
    *map(_at_point, FanPoint),
    Fault("cancelled at half", "cancelled", cancel_at_half),
)
FAN_FAULTS = (*OF_A_FAN, *_chosen(_IN_A_FAN, FAULTS))
FAN_FAULTS_ON_THE_EMBEDDED_QUEUE = tuple(fault for fault in FAN_FAULTS if not fault.rabbitmq)
FAN_FAULTS_ON_CLUSTERS = (*OF_A_FAN, *_chosen(_IN_A_FAN_ON_CLUSTERS, (*OF_A_CLUSTER, *OF_A_STORE_CLUSTER)))
