"""Applies one fault after another, and measures each recovery."""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from chaos.deployment import Deployment
from chaos.faults import AT_POINTS, FAULTS, Fault, Span

#: Seconds between two faults, and that a first job may take after one.
_CALM, _RECOVERY = 1.5, 180.0
#: Seconds until the first job of all: a cluster makes a hundred queues before, and a busy machine takes its time for that.
_BEGINNING = 240.0


class AppliedFault(NamedTuple):
    """A fault that was applied, and the recovery from it."""

    fault: Fault
    span: Span
    #: Seconds from its end until a job of a run that was asked for after it was done.
    recovery: float


def drive(
    deployment: Deployment,
    faults: Iterable[Fault],
    say: Callable[[str], None] = print,
    *,
    calm: float = _CALM,
) -> list[AppliedFault]:
    """Applies each in turn; AssertionError where one finds no mark, or nothing goes on after it."""
    applied = []
    deployment.done_after(0.0, _BEGINNING)  # a deployment that never worked would come back from nothing
    for fault in faults:
        time.sleep(calm)
        try:
            span = fault.strike(deployment)
            done = deployment.done_after(span.end, _RECOVERY)
        except AssertionError as error:
            raise AssertionError(f"{fault.name}: {error}") from error
        applied.append(AppliedFault(fault, span, done.at - span.end))
        say(f"{fault.name}: {span.end - span.begin:.1f} s, back in {applied[-1].recovery:.2f} s")
    return applied


def schedule(
    counts: Mapping[str, int], kills: int, aborts: int, seed: int, *, among: Sequence[Fault] = FAULTS
) -> list[Fault]:
    """Each fault so often, and each point's two so often, in the order that the seed gives."""
    faults = [fault for fault in among for _ in range(counts.get(fault.name, 0))]
    faults += AT_POINTS["kill"] * kills + AT_POINTS["abort"] * aborts
    random.Random(f"schedule of {seed}").shuffle(faults)
    return faults
