"""Finds results that outlive the run store."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from mousetrap.catalogue_entries import Record, Recorded, load
from mousetrap.jobs import MousetrapError
from mousetrap.settings import Settings

#: The API answers within two seconds; a look that takes longer goes on, and the next request asks for the same one.
_LOOK_TIMEOUT_S = 1.5

_log = logging.getLogger("mousetrap.api")


class RecordAway(MousetrapError):
    """The record of results cannot be read: check that its database runs, and its address and rights."""

    def outside(self) -> str:
        """A fixed text, since an error of a database can contain anything."""
        return "the record of earlier results cannot be read now: try again later; the server's log has the cause"


class Records:
    """The pipelines' own records of results, by the names of what opens them. Each is opened when it is first needed.

    A record's library is imported and used in threads. One look at a time for each pipeline: a database that hangs keeps one thread.
    """

    def __init__(self, names: Mapping[str, str], settings: Settings) -> None:
        self._names = names
        self._settings = settings
        self._open: dict[str, Record] = {}
        self._looks: dict[str, asyncio.Task[Recorded | None]] = {}

    async def newest(self, pipeline: str) -> Recorded | None:
        """The newest result on record; None for a pipeline without a record. Raises RecordAway."""
        if pipeline not in self._names:
            return None
        look = self._looks.get(pipeline)
        if look is None or look.done():
            look = self._looks[pipeline] = asyncio.create_task(asyncio.to_thread(self._look, pipeline))
        try:
            async with asyncio.timeout(_LOOK_TIMEOUT_S):
                return await asyncio.shield(look)
        except TimeoutError:
            raise RecordAway(f"the record of {pipeline}'s results does not answer in time") from None
        except Exception as error:  # whatever its library raises, as for a name that cannot be imported
            raise RecordAway(f"the record of {pipeline}'s results cannot be read: {error}") from error

    async def aclose(self) -> None:
        """Closes the records that were opened."""
        for record in self._open.values():
            await asyncio.to_thread(record.close)

    def _look(self, pipeline: str) -> Recorded | None:
        if pipeline not in self._open:
            self._open[pipeline] = load(self._names[pipeline])(self._settings)
        return self._open[pipeline].newest()


def result_of(recorded: Recorded) -> Any:
    """The result as a run has it. Raises RecordAway for one that is not JSON."""
    try:
        return msgspec.json.decode(recorded.result)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordAway(f"the result of run {recorded.run_id} on record is not JSON: {error}") from error
