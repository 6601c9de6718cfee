"""Opens, publishes and rejects runs."""

import hashlib
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

from mousetrap.jobs import Failure, MousetrapError
from mousetrap.run_store.connection import StoreConnection, text_of
from mousetrap.run_store.keys import run_key
from mousetrap.run_store.signed_records import OPENING, Opening, read_opening, sign_opening
from mousetrap.run_store.transitions import OpenRun, Published, RejectRun, Unpublished


class RunConflict(MousetrapError):
    """Another run has this id, or this idempotency key came with another body before: use a new one."""


class Opened(NamedTuple):
    """The state of a run after `open_run`."""

    #: `new`; `waiting` when it exists but no worker has met it yet; `known` when it is further.
    state: Literal["new", "waiting", "known"]
    #: Milliseconds since 1970, when the run was accepted first.
    accepted_ms: int
    #: Milliseconds since 1970 after which no job of it starts; None for never.
    expires_ms: int | None = None


class Submissions(StoreConnection):
    """What a submitter does with a run: open it, note its publish, or reject it."""

    async def open_run(
        self,
        run_id: str,
        pipeline: str,
        stage: str,
        input: bytes,
        *,
        expires_in: float | None = None,
        rerun_of: str = "",
    ) -> Opened:
        """Records a run before its first job is published. Raises RunConflict when the id is another run's."""
        digest = hashlib.sha256(input).hexdigest()
        expires = math.ceil(expires_in * 1000) if expires_in else 0
        signature = sign_opening(run_id, pipeline, stage, input, expires, self._keyring)
        state, at, expires = await self._batches.call(
            OpenRun(run_id, pipeline, stage, input.decode(), digest, expires, rerun_of, signature, self._ttl)
        )
        if state == "conflict":
            raise RunConflict(
                f"run {run_id} exists with another input or pipeline: use a new id or idempotency key"
            )
        return Opened("new" if state == "opened" else state, at, expires or None)

    async def opening(self, run_id: str) -> Opening | None:
        """The start of the run; None for an unknown one. Raises SignatureRefused for a record that is not ours."""
        async with self._reaching():
            fields = cast(list[bytes | None], await self._client.hmget(run_key(run_id), OPENING))
        return read_opening(run_id, fields, self._keyring) if fields[0] is not None else None

    def mark_published(self, run_id: str) -> None:
        """Notes, within a second or so, that the run's first job is with the broker for good.

        If the note is lost, the job is published once more, under the same id.
        """
        self._batches.note(Published(run_id))

    async def unpublished(self, *, age: float, limit: int = 100) -> Sequence[str]:
        """At most `limit` runs recorded at least `age` seconds ago whose first job may not be published: their submitter died."""
        _, *run_ids = await self._batches.call(Unpublished(int(age * 1000), limit))
        return run_ids

    async def reject_run(self, run_id: str, why: Failure) -> None:
        """Withdraws one submission: ends the run unless another submission holds, or a worker has met the run."""
        await self._batches.call(RejectRun(run_id, text_of(why), self._ttl))
