"""The broker that the short form breaks."""

from collections.abc import Iterator

import pytest

from support.rabbitmq import HOW, OwnRabbitMQ
from support.rabbitmq_container import RabbitMQContainer, engine_answers
from support.rabbitmq_node import install_rabbitmq, programs
from support.rabbitmq_prompt_node import PromptNode


@pytest.fixture(scope="session")
def _prompt_rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRabbitMQ]:
    if engine_answers():
        broker: OwnRabbitMQ = RabbitMQContainer()
    else:
        if programs() is None:
            install_rabbitmq()
        if programs() is None:
            pytest.exit(HOW, returncode=2)
        broker = PromptNode(tmp_path_factory.mktemp("prompt"))
    yield broker
    broker.remove()


@pytest.fixture
def prompt_rabbitmq(_prompt_rabbitmq: OwnRabbitMQ) -> OwnRabbitMQ:
    """A broker to break; it runs again."""
    _prompt_rabbitmq.start()
    return _prompt_rabbitmq
