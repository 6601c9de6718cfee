"""A private node's answers arrive, however it is disturbed."""

import shutil

import pytest

from support.rabbitmq import OwnRabbitMQ
from support.rabbitmq_node import RabbitMQNode

#: Dies with its first process, as on a node that was cut off and is back.
_DIES_ONCE = """
case application:get_env(rabbit, asked_before) of
  undefined -> application:set_env(rabbit, asked_before, true), exit(self(), kill);
  _ -> application:unset_env(rabbit, asked_before), answered
end.
"""


def test_a_question_whose_process_dies_on_the_node_is_asked_again(own_rabbitmq: OwnRabbitMQ) -> None:
    if not isinstance(own_rabbitmq, RabbitMQNode) or shutil.which("erl_call") is None:
        pytest.skip("only a node of this machine is asked by erl_call")

    assert own_rabbitmq.rabbitmqctl("eval", _DIES_ONCE) == "answered\n"
