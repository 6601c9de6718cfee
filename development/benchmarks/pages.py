"""Measures pages of a million runs, by each kind of filter."""

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from benchmarks import kept
from benchmarks.bench import Bench
from benchmarks.figures import Figure, Shown, ratio, some
from mousetrap.run_store import RunFilter, RunStore, open_store
from mousetrap.shapes import RunState
from support.valkey import OwnValkey, administrator

ABOUT = """Two stores: in one a thousand runs are kept, in the other a million, accepted a little more than half a second after each
other: ten minutes of runs, and most of a week. Of sixteen, eleven completed, three failed, one was cancelled and one goes on;
three have a tag. Each filter is asked of both in turns for a page of 50. “Old” are those after the middle of what is there. A
stage and a worker have no list of their own: that many runs are read until 50 are found, or a thousand. Counted is the CPU of
the process that asks and of the store's, which hardly depend on what else the machine does; commands and bytes are those of one page.

Runs are copies of some that the product had made, key by key under other ids, named in the same lists."""

LITTLE, GROWN = "1,000 kept", "grown"
CPU, TIME, COMMANDS, BYTES = (
    "CPU of a page, µs",
    "Milliseconds of a page",
    "Commands for a page",
    "Bytes that the store sends for a page",
)
_APART_MS, _LIMIT, _TIMES = 550, 50, 40
_RETENTION_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Side:
    """A store, and what is asked of it."""

    column: str
    valkey: OwnValkey
    store: RunStore
    #: One of the runs, and a place in the middle of the list.
    run_id: str
    middle: str
    newest_ms: int

    def used_s(self) -> float:
        """CPU of this process and of the store's."""
        tasks = Path(f"/proc/{self.valkey.pid}/task").glob("*/schedstat")
        return time.process_time() + sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def sent(self) -> tuple[int, int]:
        """Commands and bytes since the store began."""
        with Redis.from_url(administrator(self.valkey.url)) as client:
            found: Any = client.info("stats")
        return found["total_commands_processed"], found["total_net_output_bytes"]

    async def page(self, wanted: RunFilter, after: str | None) -> int:
        return len((await self.store.page(wanted, limit=_LIMIT, after=after)).runs)


def filters(side: Side) -> dict[str, tuple[RunFilter, str | None, int]]:
    """By name: what is asked for, after which run, and how many are found at least."""
    ten_minutes = side.newest_ms - 300_000
    full = {
        "all": RunFilter(),
        "pipeline": RunFilter(pipeline="papers"),
        "completed": RunFilter(state=RunState.COMPLETED),
        "failed": RunFilter(state=RunState.FAILED),
        "failed, of a pipeline": RunFilter(state=RunState.FAILED, pipeline="papers"),
        "failed and not repaired": RunFilter(repaired=False),
        "cancelled": RunFilter(state=RunState.CANCELLED),
        "running": RunFilter(state=RunState.RUNNING),
        "kind of error": RunFilter(error="FeedUnavailable"),
        "tag": RunFilter(tag="nightly"),
        "tag and failed": RunFilter(tag="nightly", state=RunState.FAILED),
        "stage": RunFilter(stage=kept.STAGES[0]),
        "worker": RunFilter(worker=kept.RARE),
        "time": RunFilter(to_ms=ten_minutes),
        "beginning of an id": RunFilter(id=side.run_id[:8]),
    }
    none = {
        "no such kind of error": RunFilter(error="Unknown"),
        "no such tag": RunFilter(tag="unknown"),
        "no such stage": RunFilter(stage="unknown"),
        "no such worker": RunFilter(worker="unknown"),
    }
    return {
        **{name: (wanted, None, _LIMIT) for name, wanted in full.items()},
        "old": (RunFilter(), side.middle, _LIMIT),
        "failed, old": (RunFilter(state=RunState.FAILED), side.middle, _LIMIT),
        "one id": (RunFilter(id=side.run_id), None, 1),
        **{name: (wanted, None, 0) for name, wanted in none.items()},
    }


def measure(bench: Bench) -> Iterator[Figure]:
    """Fills two stores, then asks both in turns."""
    many = 20_000 if bench.quick else bench.size
    with _store(bench, "little") as little, _store(bench, "grown") as grown:
        for valkey, count in ((little, 1_000), (grown, many)):
            asyncio.run(_fill(valkey, count))
            bench.log(f"{count:,} runs are there")
        for number in bench.numbered(bench.rounds):
            for figure in asyncio.run(_round(little, grown, number, 5 if bench.quick else _TIMES)):
                yield figure
                bench.log(f"{figure.table}, {figure.row}, {figure.column}: {figure.value:,.2f}")


def shown(figures: Sequence[Figure]) -> list[Shown]:
    """A page with a million runs by one with a thousand."""
    rows = dict.fromkeys(figure.row for figure in figures if figure.table == CPU)
    return [
        Shown(
            f"CPU of a page of a grown store by that with a thousand runs kept, {row}",
            "at most 1.15",
            ratio(some(figures, CPU, GROWN, [row]), some(figures, CPU, LITTLE, [row])),
        )
        for row in rows
    ]


@contextmanager
def _store(bench: Bench, name: str) -> Iterator[OwnValkey]:
    """A server of its own, which does not begin to rewrite its log in the middle of a measurement."""
    with OwnValkey(bench.folder / name) as valkey:
        with Redis.from_url(administrator(valkey.url)) as client:
            client.config_set("auto-aof-rewrite-percentage", 0)
        yield valkey


async def _fill(valkey: OwnValkey, count: int) -> None:
    async with open_store(valkey.url, retention=_RETENTION_S) as store:
        await kept.fill(store, administrator(valkey.url), count, _APART_MS)


async def _side(stack: AsyncExitStack, column: str, valkey: OwnValkey) -> Side:
    store = await stack.enter_async_context(open_store(valkey.url, retention=_RETENTION_S))
    with Redis.from_url(administrator(valkey.url)) as client:
        days: list[bytes] = sorted(client.scan_iter("mousetrap:runs:[0-9]*"))
        named = [member for day in days for member in client.zrange(day, 0, -1)]
    middle, some_run = named[len(named) // 2].decode(), named[-500].decode()
    return Side(column, valkey, store, some_run.partition(":")[2], middle, int(named[-1][:13]))


async def _round(little: OwnValkey, grown: OwnValkey, number: int, times: int) -> list[Figure]:
    async with AsyncExitStack() as stack:
        sides = [await _side(stack, column, valkey) for column, valkey in ((LITTLE, little), (GROWN, grown))]
        return [figure for name in filters(sides[0]) for figure in await _asked(sides, name, number, times)]


async def _asked(sides: Sequence[Side], name: str, number: int, times: int) -> list[Figure]:
    """One filter, of both in turns."""
    found: dict[tuple[str, str], list[float]] = {}
    for turn in range(times):
        for side in sides[:: 1 if turn % 2 else -1]:
            wanted, after, least = filters(side)[name]
            sent, used, began = side.sent(), side.used_s(), time.perf_counter()
            if await side.page(wanted, after) < least:
                raise SystemExit(f"the page of {name} is not full: {side.column}")
            took, cost = time.perf_counter() - began, side.used_s() - used
            commands, size = (now - before for now, before in zip(side.sent(), sent, strict=True))
            for table, value in ((CPU, cost * 1e6), (TIME, took * 1e3), (COMMANDS, commands), (BYTES, size)):
                found.setdefault((table, side.column), []).append(value)
    return [
        Figure(table, name, column, statistics.median(values), "", number)
        for (table, column), values in found.items()
    ]
