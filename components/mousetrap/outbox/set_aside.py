"""Lists the rows that were set aside; retries or discards them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, Table, delete, func, select, update

from mousetrap.outbox.database import reached
from mousetrap.outbox.table import SET_ASIDE, WAITING, own_table

#: Bytes of an input that are read for a list.
_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A row whose run was refused."""

    id: int
    key: str
    run_id: str
    pipeline: str
    #: Its beginning.
    input: str
    error: str
    #: Milliseconds since 1970.
    created_ms: int
    set_aside_ms: int
    #: Rows of its key that wait for it.
    blocks: int


def list_set_aside(engine: Engine, table: str, *, limit: int) -> Sequence[SetAside]:
    """The rows that were set aside, oldest first. Raises OutboxUnreachable and OutboxRefused."""
    rows = own_table(table)
    columns = rows.c
    waiting = rows.alias()
    blocked = (
        select(func.count())
        .where(waiting.c.key == columns.key, columns.key != "", waiting.c.state == WAITING)
        .scalar_subquery()
    )
    query = (
        select(
            *(columns.id, columns.key, columns.run_id, columns.pipeline),
            func.substr(columns.input, 1, _SHOWN).label("input"),
            *(columns.error, columns.created_ms, columns.set_aside_ms),
            blocked.label("blocks"),
        )
        .where(columns.state == SET_ASIDE)
        .order_by(columns.id)
        .limit(limit)
    )
    with reached(engine), engine.connect() as connection:
        return [SetAside(**row) for row in connection.execute(query).mappings()]


def retry_set_aside(engine: Engine, table: str, ids: Collection[int] | None) -> int:
    """Lets these rows, or all, wait again to be submitted under their run ids. Returns how many there were."""
    rows = own_table(table)
    values: dict[str, Any] = {"state": WAITING, "error": None, "set_aside_ms": None}
    with reached(engine), engine.begin() as connection:
        return connection.execute(update(rows).where(_selected(rows, ids)).values(values)).rowcount


def discard_set_aside(engine: Engine, table: str, ids: Collection[int] | None) -> int:
    """Deletes these rows, or all: their runs never begin. Returns how many there were."""
    rows = own_table(table)
    with reached(engine), engine.begin() as connection:
        return connection.execute(delete(rows).where(_selected(rows, ids))).rowcount


def _selected(rows: Table, ids: Collection[int] | None) -> ColumnElement[bool]:
    set_aside = rows.c.state == SET_ASIDE
    return set_aside if ids is None else set_aside & rows.c.id.in_(ids)
