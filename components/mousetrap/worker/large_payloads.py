"""Gets the payloads that jobs refer to, and puts large outputs."""

from collections.abc import Collection

import msgspec

from mousetrap.handlers import failure_of
from mousetrap.jobs import Done, GiveUp, Job, Outcome, PayloadUnusable, Reference
from mousetrap.payloads import Payloads
from mousetrap.worker.attempts import Attempt
from mousetrap.worker.outages import Outages

_NULL = msgspec.Raw(b"null")
#: Bytes of outputs that a worker remembers because it serves their next stage, too.
_REMEMBERED = 32 * 1024 * 1024


class LargePayloads:
    """What is too large for a message, on its way to and from the handlers, which see none of it.

    While the store of payloads is away a job waits, with its claim, and no attempt is used up. An output whose next stage this
    worker serves as well is remembered for a while, and most often need not be read; one that equals its input is not put.
    """

    def __init__(self, payloads: Payloads, outages: Outages, queues: Collection[str] = ()) -> None:
        self._payloads = payloads
        self._outages = outages
        self._queues = frozenset(queues)
        #: Outputs that were put, by reference, oldest first; each is taken by the first job that it is the input of.
        self._remembered: dict[Reference, msgspec.Raw] = {}
        self._size = 0

    async def input_of(self, attempt: Attempt) -> Job | GiveUp:
        """The attempt's job with its payload in it; it is read once. A payload that cannot be used gives the job up."""
        if attempt.whole_job is None and (known := self._take(attempt.job.reference)) is not None:
            attempt.whole_job = attempt.job.resolved(known)
        if attempt.whole_job is None:
            try:
                attempt.whole_job = await self._outages.retry_until_up(
                    "get payloads", self._payloads.resolved, attempt.job
                )
            except PayloadUnusable as error:
                return GiveUp(error.reason, failure_of(error))
        return attempt.whole_job

    def is_large(self, outcome: Done) -> bool:
        """Whether the output is too large for a message."""
        return self._payloads.is_large(len(outcome.output))

    async def with_reference(self, attempt: Attempt, outcome: Outcome) -> Outcome:
        """The outcome to record: an output that is too large for a message is put, and referred to."""
        if not isinstance(outcome, Done) or not self.is_large(outcome):
            return outcome
        reference, given = attempt.job.reference, attempt.whole_job
        same = given is not None and given.holds_text and given.payload == outcome.output
        if isinstance(reference, msgspec.UnsetType) or not same:
            reference = await self._outages.retry_until_up(
                "put payloads", self._payloads.put, attempt.job.run_id, memoryview(outcome.output)
            )
        if attempt.next_stage is not None and attempt.next_stage.queue in self._queues and not attempt.joins:
            self._remember(reference, outcome.output)
        return msgspec.structs.replace(outcome, output=_NULL, reference=reference)

    def _remember(self, reference: Reference, output: msgspec.Raw) -> None:
        self._take(reference)
        self._remembered[reference] = output
        self._size += reference.size
        while self._size > _REMEMBERED:
            self._take(next(iter(self._remembered)))

    def _take(self, reference: Reference | msgspec.UnsetType) -> msgspec.Raw | None:
        if isinstance(reference, msgspec.UnsetType) or reference not in self._remembered:
            return None
        self._size -= reference.size
        return self._remembered.pop(reference)
