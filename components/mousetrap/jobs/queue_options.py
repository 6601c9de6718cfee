"""The options of a deployment's queues."""

import ssl
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """How queues are declared and used. All processes of a deployment need the same options, except the deadline."""

    #: Quorum queues survive the loss of a minority of a cluster's nodes; classic ones are on one node.
    queue_type: Literal["quorum", "classic"] = "quorum"
    #: Messages that a work queue takes before it refuses more.
    max_length: int = 1_000_000
    #: Bytes of bodies that wait in a work queue before it refuses more; 0 for no limit. Streams count theirs roughly.
    max_bytes: int = 4_294_967_296
    #: Seconds until a message that the broker has not confirmed fails its publish.
    confirm_deadline: float = 10.0
    #: Seconds; RabbitMQ drops a client that is silent for two of them, and we drop a silent RabbitMQ.
    heartbeat: int = 15
    #: Whether a process declares what it needs on RabbitMQ, or only checks that it is there. Streams are always declared.
    declare: bool = True
    #: For amqps and valkeys; None means the system's certificate authorities, verified.
    tls: ssl.SSLContext | None = None
