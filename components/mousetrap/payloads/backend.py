"""The protocol of a backend, which keeps bytes under keys."""

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from mousetrap.jobs import Reference

#: Below the folder or the prefix that the address names: what others keep beside it is not even looked at.
HOME = "mousetrap-payloads"
#: What a run's id may be in a key.
RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: What a payload's name is: its hash, or a blob's name and the number of a chunk.
PAYLOAD_NAME = re.compile(r"[0-9a-f]{64}|[A-Za-z0-9_-]{1,56}-[0-9]{6,}")

#: The bytes of a payload; they are not copied on their way.
Data = bytes | memoryview


class RunsPage(NamedTuple):
    """Some of the runs for which payloads were put long ago."""

    run_ids: Sequence[str]
    #: Where the next page begins; empty after the last.
    after: str


class Backend(Protocol):
    """Where payloads are: it checks none, and knows nothing of runs but their ids.

    Every method raises StoreUnreachable when the backend does not answer, and StoreFull when it has no room.
    """

    async def write(self, reference: Reference, data: Data) -> None:
        """Returns once the bytes are kept under the reference's key, as a whole and through a crash. It may be repeated."""
        ...

    async def read(self, reference: Reference) -> bytes | None:
        """The bytes under the reference's key, whatever they are; None where there are none."""
        ...

    async def runs(self, put_before: float, after: str) -> RunsPage:
        """A page of the runs for which nothing was put since `put_before` (seconds since 1970), in any order.

        `after` is that of the page before, and empty for the first.
        """
        ...

    async def delete_run(self, run_id: str, put_before: float) -> None:
        """Removes the payloads of a run, unless one was put for it since `put_before`: then all of them may stay.

        All stay as well where anything beside them has no name of ours: then others use the place.
        """
        ...

    async def close(self) -> None:
        """Frees what the backend holds."""
        ...

    @property
    def place(self) -> str:
        """Where it is, for people; without secrets."""
        ...
