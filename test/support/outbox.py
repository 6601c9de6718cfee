"""Makes outbox tables, and commits rows into them."""

from sqlalchemy.orm import Session

from mousetrap.outbox import DEFAULT_TABLE, create_table, open_engine, submit_on_commit


def make_outbox(url: str) -> None:
    """Makes the table in the database at `url`."""
    with open_engine(url) as engine:
        create_table(engine, DEFAULT_TABLE)


def write_rows(url: str, *keys: str, pipeline: str = "p") -> list[str]:
    """Commits a row for each key, in order; their run ids. The inputs are the numbers from 0 on."""
    with open_engine(url) as engine, Session(engine) as session, session.begin():
        return [submit_on_commit(session, pipeline, number, key=key) for number, key in enumerate(keys)]
