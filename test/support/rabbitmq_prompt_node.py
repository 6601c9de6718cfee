"""A private RabbitMQ node that does not wait three minutes before it passes on again what found no next queue."""

from support.rabbitmq_node import RabbitMQNode

#: Milliseconds; a delayed message that comes due while its next queue is not there yet is late by so much, and not by the
#: usual three minutes, which is longer than a test may take.
_AGAIN = "-rabbit dead_letter_worker_publisher_confirm_timeout 10000"


class PromptNode(RabbitMQNode):
    """As any private node, but for that."""

    def _configure(self, distribution: int) -> dict[str, str]:
        environment = super()._configure(distribution)
        arguments = f"{environment['RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS']} {_AGAIN}"
        return {**environment, "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": arguments}
