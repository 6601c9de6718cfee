"""Takes rows from the outbox, and settles what became of them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Select, Table, delete, func, select, update

from mousetrap.outbox.database import open_engine, reached
from mousetrap.outbox.only_relay import OnlyRelay
from mousetrap.outbox.table import SET_ASIDE, WAITING, own_table

#: A row's values by column.
Row = Mapping[str, Any]


class Status(NamedTuple):
    """What is in an outbox."""

    #: Rows whose run is to be submitted, those that are blocked among them.
    waiting: int
    #: Milliseconds since 1970, when the oldest of these was written; None where none waits.
    oldest_ms: int | None
    set_aside: int
    #: Rows that wait for one of their key that is set aside.
    blocked: int


class Refusal(NamedTuple):
    """Why a row is set aside."""

    id: int
    error: str


@dataclass(frozen=True, slots=True)
class Passed:
    """What a relay does not take for now."""

    pipelines: Collection[str] = ()
    keys: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """Rows that this relay alone has until it settles them."""

    #: As the columns have them, oldest first; of each key from its oldest row on.
    rows: Sequence[Row] = ()
    #: Keys whose oldest row another relay has, or that is passed over.
    late_keys: frozenset[str] = frozenset()
    #: The transaction that holds the rows' locks; None on SQLite.
    connection: Connection | None = field(default=None, compare=False)


class Rows:
    """The rows of one outbox table; used by one thread at a time. Calls raise OutboxUnreachable and OutboxRefused.

    On PostgreSQL the rows that were taken are locked until they are settled, so that other relays take others. SQLite locks
    no rows: there one relay of all serves, and the others wait for its end.
    """

    def __init__(self, engine: Engine, table: str) -> None:
        self._engine = engine
        self._table = own_table(table)
        self._only = OnlyRelay(engine, table)

    def take(self, most: int, passed: Passed) -> Taken | None:
        """At most `most` rows that wait, oldest first, of each key without a gap. None while another relay serves alone."""
        if not self._only.try_to_be():
            return None
        with reached(self._engine):
            connection = self._engine.connect()
            try:
                found = [dict(row) for row in connection.execute(self._waiting(most, passed)).mappings()]
                taken = in_order(found, self._of_keys(connection, found))
            except BaseException:
                connection.close()
                raise
            if taken.rows and self._engine.dialect.name != "sqlite":
                return Taken(taken.rows, taken.late_keys, connection)
            connection.close()  # a rollback, which meets a server that is away as well
        return taken

    def settle(self, taken: Taken, accepted: Sequence[int], refused: Sequence[Refusal], now_ms: int) -> None:
        """Deletes accepted rows, sets refused ones aside, and gives up the others."""
        with reached(self._engine), _transaction(self._engine, taken.connection) as connection:
            if accepted:
                connection.execute(delete(self._table).where(self._table.c.id.in_(accepted)))
            for each in refused:
                values = {"state": SET_ASIDE, "error": each.error, "set_aside_ms": now_ms}
                connection.execute(update(self._table).where(self._table.c.id == each.id).values(values))

    def status(self) -> Status:
        """As `count_rows` has it."""
        return count_rows(self._engine, self._table.name)

    def close(self) -> None:
        self._only.close()

    def _waiting(self, most: int, passed: Passed) -> Select[Any]:
        columns = self._table.c
        query = select(self._table).where(
            columns.state == WAITING, columns.key.not_in(_blocking(self._table))
        )
        if passed.pipelines:
            query = query.where(columns.pipeline.not_in(passed.pipelines))
        if passed.keys:
            query = query.where(columns.key.not_in(passed.keys))
        return query.order_by(columns.id).limit(most).with_for_update(skip_locked=True, of=self._table)

    def _of_keys(self, connection: Connection, found: Sequence[Row]) -> Sequence[tuple[str, int]]:
        """The keys of these rows, and the numbers of all their rows up to the last of these, taken or not."""
        keys = {row["key"] for row in found if row["key"]}
        if not keys:
            return ()
        columns, last = self._table.c, max(row["id"] for row in found)
        query = select(columns.key, columns.id).where(columns.key.in_(keys), columns.id <= last)
        return [(row.key, row.id) for row in connection.execute(query)]


def count_rows(engine: Engine, table: str) -> Status:
    """Counts the rows, which reads all of them. Raises OutboxUnreachable and OutboxRefused."""
    rows = own_table(table)
    columns = rows.c
    waits = columns.state == WAITING
    counts = select(
        func.count().filter(waits),
        func.min(columns.created_ms).filter(waits),
        func.count().filter(columns.state == SET_ASIDE),
        func.count().filter(waits & columns.key.in_(_blocking(rows))),
    ).select_from(rows)
    with reached(engine), engine.connect() as connection:
        return Status(*connection.execute(counts).one())


def _blocking(table: Table) -> Select[Any]:
    """The keys of rows that are set aside."""
    return select(table.c.key).where(table.c.state == SET_ASIDE, table.c.key != "")


def in_order(found: Sequence[Row], of_keys: Iterable[tuple[str, int]]) -> Taken:
    """Of these rows those whose earlier rows of the same key are among them."""
    ids = {row["id"] for row in found}
    first_missing: dict[str, int] = {}
    for key, number in of_keys:
        if number not in ids:
            first_missing[key] = min(number, first_missing.get(key, number))
    kept = [row for row in found if row["id"] < first_missing.get(row["key"], row["id"] + 1)]
    return Taken(kept, frozenset(first_missing))


@contextmanager
def _transaction(engine: Engine, open_one: Connection | None) -> Iterator[Connection]:
    """The transaction that is open, else a new one; it is committed and closed, or rolled back."""
    with open_one or engine.connect() as connection:
        yield connection
        connection.commit()


@contextmanager
def open_rows(url: str, table: str) -> Iterator[Rows]:
    """The rows of the outbox at `url`. Raises ValueError for an address of another kind."""
    with open_engine(url) as engine:
        rows = Rows(engine, table)
        try:
            yield rows
        finally:
            rows.close()
