"""Finds the newest summary for readers that may change nothing."""

from sqlalchemy import Engine, inspect

from mousetrap.catalogue_entries import Recorded
from mousetrap.earthquakes_settings import DATABASE
from mousetrap.settings import Settings
from mousetrap.summaries.database import open_reader, parse, reached
from mousetrap.summaries.store import newest_row
from mousetrap.summaries.table import SUMMARIES


class SummaryRecord:
    """The summaries as the pipeline's record of results. It makes nothing: no file and no table."""

    def __init__(self, url: str) -> None:
        parse(url)
        self._url = url
        self._engine: Engine | None = None

    def newest(self) -> Recorded | None:
        """The result stored last; None before the first. Raises SummariesUnreachable or SummariesRefused."""
        engine = self._engine = self._engine or open_reader(self._url)
        if engine is None:
            return None
        with reached(engine.url), engine.connect() as connection:
            return newest_row(connection) if inspect(connection).has_table(SUMMARIES.name) else None

    def close(self) -> None:
        """Closes the connections."""
        if self._engine is not None:
            self._engine.dispose()


def open_record(settings: Settings) -> SummaryRecord:
    """The record at the settings' address. Raises ValueError for an unsupported one."""
    return SummaryRecord(settings.of(DATABASE).url)
