"""Names the spans, their attributes and their events.

OpenTelemetry's conventions for messaging are in development: when they change, this file does. Names that are no
convention of theirs begin with `mousetrap.`.
"""

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
#: The name of the instrumentation, and of the messaging system: a queue of ours is on RabbitMQ, or embedded.
LIBRARY = "mousetrap"

# Of messaging.
SYSTEM = "messaging.system"
OPERATION_NAME, OPERATION_TYPE = "messaging.operation.name", "messaging.operation.type"
DESTINATION = "messaging.destination.name"
MESSAGE_ID = "messaging.message.id"
CONVERSATION_ID = "messaging.message.conversation_id"
CLIENT_ID = "messaging.client.id"
BATCH_COUNT = "messaging.batch.message_count"
ERROR_TYPE = "error.type"

# Our own.
RUN = "mousetrap.run.id"
PIPELINE, STAGE = "mousetrap.pipeline", "mousetrap.stage"
ATTEMPT = "mousetrap.attempt"
OUTCOME = "mousetrap.outcome"
REASON = "mousetrap.reason"
#: Seconds until the next attempt.
DELAY = "mousetrap.delay"

# Events of an attempt.
RETRY, DEAD_LETTERED = "retry", "dead-lettered"

# The first words of the names of spans: what is done. The convention's type of the second is another word.
PROCESS, PUBLISH, SUBMIT = "process", "publish", "submit"
SEND = "send"
