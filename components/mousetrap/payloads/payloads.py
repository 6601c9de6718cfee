"""Puts, gets, checks and sweeps payloads, whatever keeps them."""

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from mousetrap.jobs import (
    LARGEST_PAYLOAD,
    Job,
    MousetrapError,
    PayloadAltered,
    PayloadMissing,
    PayloadNotPut,
    Reference,
)
from mousetrap.payloads.backend import RUN_ID, Backend, Data

#: Bytes from which on a payload is hashed in a thread: so many take five milliseconds or more.
_IN_THREAD = 8 * 1024 * 1024

#: Pages of runs in one round of a sweep, and failures after which a round ends: then the backend is away.
_PAGES, _FAILURES = 20, 10
#: What a blob's name may be; its chunks have a number behind it.
_BLOB_NAME = re.compile(r"[A-Za-z0-9_-]{1,56}")

_log = logging.getLogger(__name__)

#: Those of some runs that are remembered.
Known = Callable[[Sequence[str]], Awaitable[AbstractSet[str]]]


def not_put(run_id: str, size: int) -> Reference:
    """Stands for a payload of so many bytes that was too large to be put: who asks for it learns that."""
    return Reference(key=f"{run_id}/too-large", sha256="0" * 64, size=size)


class PayloadTooLarge(ValueError):
    """The payload has more bytes than the settings allow."""


class Payloads:
    """Payloads by reference: a message and a record hold where a large payload is, and its hash.

    1. `put` keeps the bytes, and gives the reference: the same for the same bytes of the same run, so it may be repeated.
    2. `get` reads them, and checks their hash every time.
    3. `sweep` removes what belongs to runs that are not remembered, or were never opened.

    Every method raises StoreUnreachable when the backend does not answer, and StoreFull when it has no room.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        inline: int,
        largest: int = LARGEST_PAYLOAD,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._backend = backend
        self._inline = inline
        #: Bytes of a payload that may be put.
        self.largest = largest
        self._now = now
        #: The page at which the next round of `sweep` begins.
        self._after = ""

    @property
    def place(self) -> str:
        """Where the payloads are, for people."""
        return self._backend.place

    def is_large(self, size: int) -> bool:
        """Whether a payload of so many bytes is too large for a message."""
        return size > self._inline

    async def put_large(self, run_id: str, data: Data) -> Reference | msgspec.UnsetType:
        """Puts a payload that is too large for a message; unset for one that is not. Raises as `put` does."""
        return await self.put(run_id, data) if self.is_large(len(data)) else msgspec.UNSET

    async def put(self, run_id: str, data: Data) -> Reference:
        """Keeps a payload of this run. Raises PayloadTooLarge, and ValueError for a run id that no submitter takes."""
        if len(data) > self.largest:
            raise PayloadTooLarge(
                f"the payload has {len(data)} bytes, and MOUSETRAP_PAYLOAD_MAX_BYTES allows {self.largest}"
            )
        if not RUN_ID.fullmatch(run_id):
            raise ValueError(f"the run has the id {run_id[:64]!r}, under which no payload can be kept")
        digest = await _digest(data)
        reference = Reference(key=f"{run_id}/{digest}", sha256=digest, size=len(data))
        await self._backend.write(reference, data)
        return reference

    async def get(self, reference: Reference) -> bytes:
        """The payload. Raises PayloadMissing, PayloadAltered for one whose bytes are not those that were put, and PayloadNotPut."""
        if reference == not_put(reference.run_id, reference.size):
            raise PayloadNotPut(
                f"the payload has {reference.size} bytes, which is more than MOUSETRAP_PAYLOAD_MAX_BYTES allowed where it was made: it was "
                "not put. Give smaller outputs, or blobs; or redrive it with another input"
            )
        data = await self._backend.read(reference)
        if data is None:
            raise PayloadMissing(
                f"the payload {reference.key} ({reference.size} bytes) is not in {self.place}: it was removed, its run is "
                "forgotten, or this process looks elsewhere than the one that put it (MOUSETRAP_PAYLOAD_URL). Put it back "
                "from a copy, or give another input",
                self.place,
            )
        if len(data) != reference.size or await _digest(data) != reference.sha256:
            raise PayloadAltered(
                f"the payload {reference.key} in {self.place} is not what was put there: it has {len(data)} bytes, "
                f"{reference.size} were put, and its hash must be {reference.sha256}. Put the original back from a copy, or "
                "give another input",
                self.place,
            )
        return data

    async def put_chunk(self, run_id: str, name: str, number: int, data: Data) -> None:
        """Keeps a chunk of a blob of this run; the reader of the blob checks its hash."""
        await self._backend.write(_chunk(run_id, name, number, len(data)), data)

    async def get_chunk(self, run_id: str, name: str, number: int, size: int) -> bytes:
        """A chunk that had so many bytes. Raises PayloadMissing."""
        data = await self._backend.read(_chunk(run_id, name, number, size))
        if data is None:
            raise PayloadMissing(
                f"blob {run_id}/{name} is not as it was: its chunk {number} is not in {self.place}. It was removed, its run is "
                "forgotten, or this process looks elsewhere than the one that wrote it (MOUSETRAP_PAYLOAD_URL)",
                self.place,
            )
        return data

    async def resolved(self, job: Job) -> Job:
        """The job with its payload in it, wherever that is. Raises as `get` does."""
        if isinstance(job.reference, msgspec.UnsetType):
            return job
        return job.resolved(await self.get(job.reference))

    async def sweep(self, known: Known, grace: float) -> int:
        """Removes the payloads of runs that are not `known`, if nothing was put for them in the last `grace` seconds.

        One call looks at some pages of runs, and the next call goes on behind them. Several processes may do it at once.
        Returns of how many runs it removed the payloads.
        """
        put_before, swept = self._now() - grace, 0
        failures: list[MousetrapError] = []
        for _ in range(_PAGES):
            run_ids, self._after = await self._backend.runs(put_before, self._after)
            forgotten = set(run_ids) - await known(run_ids) if run_ids else ()
            for run_id in forgotten:
                if len(failures) < _FAILURES:  # what is left is for a later round
                    swept += await self._removed(run_id, put_before, failures)
            if not self._after or len(failures) >= _FAILURES:
                break
        if failures:
            facts = {"runs": len(failures), "error": failures[0]}
            _log.warning("could not remove the payloads of some forgotten runs", extra=facts)
        return swept

    async def _removed(self, run_id: str, put_before: float, failures: list[MousetrapError]) -> bool:
        """Removes a run's payloads; a failure is added, so that it does not keep those of other runs."""
        try:
            await self._backend.delete_run(run_id, put_before)
        except MousetrapError as error:
            failures.append(error)
            return False
        return True

    async def close(self) -> None:
        """Frees what the backend holds."""
        await self._backend.close()


def _chunk(run_id: str, name: str, number: int, size: int) -> Reference:
    """Where a chunk is. Raises ValueError for a run or a name that leads elsewhere."""
    if not (RUN_ID.fullmatch(run_id) and _BLOB_NAME.fullmatch(name)):
        raise ValueError(f"no blob has the key {run_id[:64]!r}/{name[:64]!r}")
    return Reference(key=f"{run_id}/{name}-{number:06}", sha256="", size=size)


async def _digest(data: Data) -> str:
    if len(data) < _IN_THREAD:
        return hashlib.sha256(data).hexdigest()
    return await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
