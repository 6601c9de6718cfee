"""What may differ from one deployment's queues to the next."""

import ssl
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """How queues are declared and used; every process of a deployment needs the same, but for the deadline."""

    #: Quorum queues survive the loss of a minority of a cluster's nodes; classic ones live on one node.
    queue_type: Literal["quorum", "classic"] = "quorum"
    #: Messages that a work queue takes before it refuses more.
    max_length: int = 1_000_000
    #: Bytes of bodies that wait in a work queue before it refuses more; 0 for no bound. Streams count theirs roughly.
    max_bytes: int = 4_294_967_296
    #: Seconds until a message that the broker has not confirmed fails its publish.
    confirm_deadline: float = 10.0
    #: Seconds; RabbitMQ drops a client that is silent for two of them, and we a silent RabbitMQ.
    heartbeat: int = 15
    #: Whether RabbitMQ is told to hold what is needed; else it is asked whether it does. Streams are made by whoever comes first.
    declare: bool = True
    #: For amqps and valkeys; None means the system's certificate authorities, verified.
    tls: ssl.SSLContext | None = None


DEFAULT_OPTIONS = QueueOptions()
