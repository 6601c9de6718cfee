"""Runs the short form: each fault once, on either queue."""

from pathlib import Path

import pytest

from chaos.deployment import deployed
from chaos.drive import drive, schedule
from chaos.faults import ON_THE_EMBEDDED_QUEUE
from chaos.invariants import assert_all_hold
from chaos.workload import RATE
from mousetrap.embedded_valkey import EmbeddedValkey
from support.rabbitmq import OwnRabbitMQ, virtual_host

pytestmark = pytest.mark.long
_SEED = 20261122
#: Seconds between two faults.
_CALM = 0.3
#: In parts, so that none takes minutes. What is not named here is of the long form alone, and workers that die are of others:
#: test_points.py kills them where it hurts, test_fans.py all at once. A job that eats memory ends as one that kills its workers.
_PARTS = {
    "workers": (
        "worker paused past its leases",
        "zombie",
        "rolling SIGTERM",
        "blocked loop",
        "job that kills its workers",
        "isolated job that kills its process",
    ),
    "broker": (
        "broker stop_app, start_app",
        "broker SIGKILL",
        "broker memory alarm",
        "broker disk alarm",
        "queues full",
        "queue deleted",
    ),
    "networks, store and callers": (
        "scheduler SIGKILL",
        "all schedulers SIGKILL",
        "queue paused",
        "broker TCP cut",
        "store TCP cut",
        "broker TCP slow",
        "acknowledgements lost",
        "confirms lost",
        "store SIGKILL",
        "store paused",
        "store out of memory",
        "caller killed, input put",
        "caller killed, run recorded",
        "caller killed, first job sent",
    ),
}


@pytest.mark.parametrize("part", _PARTS)
def test_rabbitmq_loses_and_repeats_nothing_under_each_fault(
    own_rabbitmq: OwnRabbitMQ, own_valkey: EmbeddedValkey, tmp_path: Path, part: str
) -> None:
    with (
        virtual_host(own_rabbitmq) as url,
        deployed(
            tmp_path, broker=own_rabbitmq, broker_url=url, store=own_valkey, workers=3, seed=_SEED
        ) as deployment,
    ):
        if "scheduler SIGKILL" in _PARTS[part]:
            deployment.start_schedulers()
        deployment.start_caller(RATE)
        drive(deployment, schedule(dict.fromkeys(_PARTS[part], 1), 0, 0, _SEED), calm=_CALM)
        assert_all_hold(deployment.come_to_rest())


def test_the_embedded_queue_loses_and_repeats_nothing_under_each_fault(
    own_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    """Without the harm that workers and jobs do: a worker's end is tried at each point, the rest is the long form's."""
    with deployed(
        tmp_path, broker=None, broker_url=own_valkey.url, store=own_valkey, workers=3, seed=_SEED
    ) as deployment:
        deployment.start_schedulers()
        deployment.start_caller(RATE)
        counts = dict.fromkeys(_PARTS["networks, store and callers"], 1)
        drive(deployment, schedule(counts, 0, 0, _SEED, among=ON_THE_EMBEDDED_QUEUE), calm=_CALM)
        assert_all_hold(deployment.come_to_rest())
