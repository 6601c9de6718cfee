"""Declares what a message of Celery is, and its pipeline."""

import base64
import hashlib
import math
from typing import Any

import msgspec

from mousetrap.celery.outages import OUTAGES
from mousetrap.celery_messages import Invocation, NotUnderstood, kept_headers, read_invocation
from mousetrap.job_queue import ForeignMessage
from mousetrap.payloads import PayloadTooLarge
from mousetrap.pipeline import ContractBroken, Pipeline, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.run_store import RunConflict
from mousetrap.submit_run import OptionInvalid

#: What a repeat of the same message would meet again.
REFUSED: tuple[type[Exception], ...] = (
    *(NotUnderstood, ContractBroken, RunConflict, OptionInvalid, PayloadTooLarge),
)
#: Characters that are kept of a body that is too large.
_SHOWN = 1_000


class NotSentOn(Exception):
    """The run of a task failed, so what follows it in Celery was not sent."""


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """A message of Celery, as far as it is read."""

    #: The queue that it came from.
    queue: str
    content_type: str
    headers: dict[str, Any]
    #: Text, or base64 where it is none.
    body: str
    is_base64: bool = False
    #: Where its sender waits for the result.
    reply_to: str = ""
    #: As its sender gave it, or 0.
    priority: int = 0
    #: Characters of a body that was too large to keep: the rest was cut off.
    cut_from: int = 0

    @staticmethod
    def of(queue: str, message: ForeignMessage) -> "Arrived":
        """The message as JSON can hold it."""
        try:
            body, is_base64 = message.body.decode(), False
        except UnicodeDecodeError:
            body, is_base64 = base64.b64encode(message.body).decode(), True
        return Arrived(
            queue=queue,
            content_type=message.content_type,
            headers=kept_headers(message.headers),
            body=body,
            is_base64=is_base64,
            reply_to=message.reply_to,
            priority=message.priority,
        )

    @property
    def call(self) -> Invocation:
        """The call in it. Raises NotUnderstood."""
        if self.cut_from:
            raise NotUnderstood(
                f"its body of {self.cut_from} characters is too large to keep, and {len(self.body)} are left: raise "
                "MOUSETRAP_PAYLOAD_MAX_BYTES, and send the task again"
            )
        body = base64.b64decode(self.body) if self.is_base64 else self.body.encode()
        return read_invocation(self.headers, self.content_type, body, self.reply_to, self.priority)

    def shortened(self) -> "Arrived":
        """The message with the start of its body alone, to show what it was."""
        return msgspec.structs.replace(self, body=self.body[:_SHOWN], cut_from=len(self.body))

    @property
    def key(self) -> str:
        """The same when the same message comes again."""
        return f"{self.headers.get('id')}|{self.headers.get('retries')}"

    @property
    def hash(self) -> str:
        """Of all that it holds."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


class SentOn(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a message of Celery."""

    #: The run that did its task; empty where its time was over.
    run: str
    state: str
    #: The ids of the tasks that were sent to Celery after it.
    sent: tuple[str, ...] = ()


FROM_CELERY = Pipeline(
    name="from_celery",
    description="Does a task of Celery that something follows, or that was not understood.",
    stages=(
        Stage(
            name="from_celery",
            queue="from_celery",
            input=Arrived,
            output=SentOn,
            retry=RetryPolicy(
                attempts=8,  # some two minutes, for a worker or a queue of Celery's that is just being started
                base=1.0,
                cap=60.0,
                dont_retry_on=(*REFUSED, NotSentOn),
                outages=OUTAGES,
                outage_limit=math.inf,  # a run may wait for longer than any outage
            ),
        ),
    ),
)
