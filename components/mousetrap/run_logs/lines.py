"""Reads the lines that are kept of a run."""

import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from mousetrap.run_logs.keys import facts_key, lines_key
from mousetrap.shapes import LogLine, LogPage
from mousetrap.store_client import StoreClient, address, open_client, reaching


class _Line(msgspec.Struct, frozen=True):
    at_ms: int
    level: str
    logger: str
    message: str
    stage: str
    job: str
    attempt: int
    worker: str


@asynccontextmanager
async def open_log_reader(url: str, *, tls: ssl.SSLContext | None = None) -> AsyncIterator["LogReader"]:
    """Reads from the store at `url`, which need not be reachable yet."""
    client = open_client(url, tls)
    try:
        yield LogReader(client, address(url))
    finally:
        await client.close()


class LogReader:
    """The lines of runs in one store."""

    def __init__(self, client: StoreClient, place: str) -> None:
        self._client = client
        self._place = place

    async def page(self, run_id: str, *, after: int = 0, limit: int, level: str = "DEBUG") -> LogPage:
        """Lines that follow the one with the number `after`, from `level` up, oldest first. Raises StoreUnreachable.

        All that are kept of a run are 64 kB: they are read at once.
        """
        with reaching(self._place):
            lines, facts = await self._client.pipeline(
                [("LRANGE", lines_key(run_id), 0, -1), ("HMGET", facts_key(run_id), "dropped", "missed")]
            )
        dropped, missed = map(_number, _list(facts) or (None, None))
        lowest = logging.getLevelNamesMapping()[level]
        found = [
            line for line in _read(_list(lines), dropped + 1) if line.number > after and _at(line) >= lowest
        ]
        page = tuple(found[:limit])
        follows = len(found) > limit
        return LogPage(lines=page, next=page[-1].number if follows else None, dropped=dropped, missed=missed)


def _list(reply: Any) -> Sequence[Any]:
    """Anything can be in the store: what is no list has no lines."""
    return reply if isinstance(reply, list) else ()


def _number(reply: Any) -> int:
    return int(reply) if isinstance(reply, bytes) and reply.isdigit() and len(reply) < 16 else 0


def _at(line: LogLine) -> int:
    return logging.getLevelNamesMapping().get(line.level, logging.INFO)


def _read(lines: Sequence[Any], first: int) -> list[LogLine]:
    """The lines that can be read, each with its number."""
    found = []
    for number, text in enumerate(lines, first):
        try:
            line = _decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        found.append(LogLine(number=number, **msgspec.structs.asdict(line)))
    return found


_decoder = msgspec.json.Decoder(_Line)
