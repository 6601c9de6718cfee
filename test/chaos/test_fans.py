"""Breaks workers and servers while runs fan out, on either queue."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaos.deployment import Deployment, deployed
from chaos.drive import drive
from chaos.fan_faults import FAN_FAULTS, FAN_FAULTS_ON_THE_EMBEDDED_QUEUE
from chaos.invariants import assert_all_hold
from chaos.points import FanPoint
from mousetrap.embedded_valkey import EmbeddedValkey
from support.rabbitmq import OwnRabbitMQ, virtual_host

_SEED = 20261129
#: Seconds between two faults.
_CALM_S = 0.3
#: The few that `make test` has: a window opened and not sent, all closed and nothing fired, a join fired and not published.
_FEW = (
    f"kill at {FanPoint.WINDOW_OPENED}",
    f"kill at {FanPoint.CLOSED}",
    f"kill at {FanPoint.FIRED}",
    "cancelled at half",
)
#: The others, which `make test-all` has beside those.
_POINTS = tuple(name for point in FanPoint if (name := f"kill at {point}") not in _FEW)
_FAULTS = (
    "worker SIGKILL",
    "all workers SIGKILL",
    "zombie",
    "broker SIGKILL",
    "queues full",
    "confirms lost",
    "store SIGKILL",
    "store TCP cut",
)


@contextmanager
def on_rabbitmq(broker: OwnRabbitMQ, store: EmbeddedValkey, folder: Path) -> Iterator[Deployment]:
    with (
        virtual_host(broker) as url,
        deployed(folder, broker=broker, broker_url=url, store=store, workers=2, seed=_SEED) as deployment,
    ):
        yield deployment


@contextmanager
def on_the_embedded_queue(store: EmbeddedValkey, folder: Path) -> Iterator[Deployment]:
    with deployed(
        folder, broker=None, broker_url=store.url, store=store, workers=2, seed=_SEED
    ) as deployment:
        yield deployment


def suffer(deployment: Deployment, names: Sequence[str]) -> None:
    """Each fault strikes in a fan-out of hundreds of children, and every invariant holds at the end."""
    among = FAN_FAULTS if deployment.broker else FAN_FAULTS_ON_THE_EMBEDDED_QUEUE
    deployment.start_caller(rate=4.0)
    drive(deployment, [fault for fault in among if fault.name in names], calm=_CALM_S)
    assert_all_hold(deployment.come_to_rest())


def test_hundreds_of_children_on_rabbitmq_are_each_done_once_and_joined_once(
    own_rabbitmq: OwnRabbitMQ, own_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    with on_rabbitmq(own_rabbitmq, own_valkey, tmp_path) as deployment:
        suffer(deployment, _FEW)


def test_hundreds_of_children_on_the_embedded_queue_are_each_done_once_and_joined_once(
    own_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    with on_the_embedded_queue(own_valkey, tmp_path) as deployment:
        suffer(deployment, _FEW)


@pytest.mark.long
@pytest.mark.parametrize("names", [_POINTS, _FAULTS], ids=["points", "faults"])
def test_no_fault_in_a_fan_out_on_rabbitmq_loses_or_repeats_a_child(
    own_rabbitmq: OwnRabbitMQ, own_valkey: EmbeddedValkey, tmp_path: Path, names: Sequence[str]
) -> None:
    with on_rabbitmq(own_rabbitmq, own_valkey, tmp_path) as deployment:
        suffer(deployment, names)


@pytest.mark.long
def test_no_fault_in_a_fan_out_on_the_embedded_queue_loses_or_repeats_a_child(
    own_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    """Without the other points: test_fan_kills.py kills a worker of this queue too at 37 steps of a fan-out."""
    with on_the_embedded_queue(own_valkey, tmp_path) as deployment:
        suffer(deployment, _FAULTS)
