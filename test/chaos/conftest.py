"""The broker that the short form breaks."""

from collections.abc import Iterator

import pytest

from support.rabbitmq import HOW, OwnRabbitMQ
from support.rabbitmq_container import RabbitMQContainer, engine_answers
from support.rabbitmq_node import install_rabbitmq, programs
from support.rabbitmq_prompt_node import PromptNode


@pytest.fixture(scope="session")
def _prompt_rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRabbitMQ]:
    if programs() is None and not engine_answers():
        install_rabbitmq()
    if programs() is not None:
        broker: OwnRabbitMQ = PromptNode(tmp_path_factory.mktemp("prompt"))
    elif engine_answers():
        broker = RabbitMQContainer()
    else:
        pytest.exit(HOW, returncode=2)
    yield broker
    broker.remove()


@pytest.fixture
def prompt_rabbitmq(_prompt_rabbitmq: OwnRabbitMQ) -> OwnRabbitMQ:
    """A broker to break; it runs again."""
    _prompt_rabbitmq.start()
    return _prompt_rabbitmq
