"""Collects the history of a deployment that is idle."""

import asyncio
import re
import time
from collections.abc import Iterable, Mapping
from typing import cast
from urllib.parse import unquote, urlsplit

import msgspec
from redis.asyncio import Redis

from chaos.calls import Entry
from chaos.controlled import Controlled
from chaos.effects import Effect
from chaos.history import DeadLetter, History, StoredRun
from chaos.ledger import Line
from chaos.workload import LIMITED, QUEUES, Work
from mousetrap.job_queue import connect
from mousetrap.jobs import Claim, ClaimQueue, JobUndecodable, dead_queue, decode
from mousetrap.run_store import RunStore, open_store
from mousetrap.run_store.keys import packed_run_key, run_key
from mousetrap.run_store.records import RUN_STATES
from mousetrap.schedules import Record
from mousetrap.shapes import RunState
from support.valkey import administrator, console

#: Seconds for queues to be empty.
_EMPTY_TIMEOUT_S = 60.0
_EMPTY_LOOKS, _BETWEEN_LOOKS_S = 2, 1.0
#: The same for limits to be free: some leases.
_LIMITS_TIMEOUT_S = 15.0
#: Runs that are asked for at once; each of them has a connection of its own.
_AT_ONCE = 8
#: Runs by when something was put for them; and the key of each one's payloads, on one server and in a cluster.
_PAYLOADS = "mousetrap:payloads"
_PAYLOADS_KEYS = "mousetrap:*payloads*"
_PAYLOADS_KEY = re.compile(r"mousetrap:(?:payloads:|\{)([^}]+?)(?:\}:payloads)?")
#: A sweep removes what was put before so many seconds ago: a day ahead, since the clocks of the processes are wrong.
_GRACE_S = -86_400.0
#: What an embedded queue keeps as long as the queue itself, and the server's own answer to a member's life; schedules and pauses.
_STANDING = re.compile(r"mousetrap:(queue:|\{schedules\}|paused$)")

#: Asked of RabbitMQ by `rabbitmqctl eval`: the messages in each queue, with those that it passes on by itself, as its replicas
#: agree on them. What RabbitMQ shows otherwise was counted up to five seconds ago.
#: All queues at once: one whose leader is gone takes five seconds for each of its replicas.
_DEPTHS = """
Parent = self(),
Count = fun(Q) ->
  {{Id, Leader}} = amqqueue:get_pid(Q),
  Ask = fun
    (Node, -1) -> case ra:consistent_query({{Id, Node}}, fun rabbit_fifo:query_messages_total/1, 5000) of
      {{ok, N, _}} -> N; _ -> -1 end;
    (_, Known) -> Known end,
  lists:foldl(Ask, -1, [Leader | maps:get(nodes, amqqueue:get_type_state(Q))])
end,
Asked = [begin
  {{resource, _, queue, Name}} = amqqueue:get_name(Q),
  {{Pid, Ref}} = spawn_monitor(fun() -> Parent ! {{self(), Count(Q)}} end),
  {{Name, Pid, Ref}}
end || Q <- rabbit_amqqueue:list(<<"{vhost}">>)],
lists:foreach(fun({{Name, Pid, Ref}}) ->
  receive
    {{Pid, N}} -> erlang:demonitor(Ref, [flush]), io:format("~s ~b~n", [Name, N]);
    {{'DOWN', Ref, _, _, _}} -> io:format("~s -1~n", [Name])
  end
end, Asked).
"""


async def collect(
    *,
    broker: Controlled | None,
    broker_url: str,
    store_url: str,
    ledger: tuple[Line, ...],
    calls: tuple[Entry, ...],
    effects: tuple[Effect, ...],
    logs: Mapping[str, tuple[str, ...]],
    deleted: frozenset[str],
    forgotten: frozenset[str],
    exits: tuple[int, ...],
    schedules: tuple[Record, ...],
) -> History:
    """The history, once the queues are empty or the timeout is over."""
    depths = await settled_depths(broker, broker_url, store_url)
    limits = await settled_limits(store_url)
    async with open_store(store_url, retention=7200.0) as store:
        known = {line.run for line in ledger} | await _listed(store)
        runs = await _runs(store, known)
        await store.payloads.sweep(store.known, _GRACE_S)
    async with connect(broker_url, QUEUES, name="collector") as queue:
        pulled = cast(ClaimQueue, queue)
        dead = [letter for name in QUEUES for letter in await _dead_letters(pulled, name)]
    return History(
        ledger=ledger,
        epoch=time.time() - time.monotonic(),
        calls=calls,
        runs=runs,
        effects=effects,
        dead=tuple(dead),
        depths=depths,
        limits=limits,
        payloads=_with_payloads(store_url),
        eternal=_eternal(store_url),
        logs=logs,
        deleted=deleted,
        forgotten=forgotten,
        exits=exits,
        schedules=schedules,
    )


def left_open(store_url: str, runs: Iterable[str]) -> set[str]:
    """Those of the runs that the store knows and that have not ended."""
    asked = list(runs)
    with console(store_url) as client, client.pipeline(transaction=False) as pipe:
        for run in asked:
            pipe.hget(run_key(run), "state")
            pipe.getrange(packed_run_key(run), 0, 0)
        replies = pipe.execute()
    found = zip(asked, map(_state, replies[::2], replies[1::2]), strict=True)
    return {run for run, state in found if state and not RunState(state).ended}


def _state(older: bytes | None, packed: bytes) -> str:
    """The state of a run in either family of records; empty for an unknown one. A live packed run is queued."""
    return older.decode() if older else RUN_STATES.get(packed.decode(), "")


async def _listed(store: RunStore) -> set[str]:
    page = await store.page(limit=200)
    found = {run.id for run in page.runs}
    while page.next:
        page = await store.page(limit=200, after=page.next)
        found |= {run.id for run in page.runs}
    return found


async def _runs(store: RunStore, runs: Iterable[str]) -> dict[str, StoredRun]:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(run_id: str) -> tuple[str, StoredRun] | None:
        async with room:
            run = await store.get(run_id)
        if run is None:
            return None
        result = msgspec.convert(run.result, Work) if run.result is not None else None
        done, counts = (result.done, result.counts) if result else (None, ())
        events = tuple(event.kind for event in run.timeline)
        return run_id, StoredRun(str(run.state), done, events, run.expires_ms, run.unreadable, counts)

    found = await asyncio.gather(*map(one, runs))
    return dict(each for each in found if each is not None)


async def _dead_letters(queue: ClaimQueue, name: str) -> list[DeadLetter]:
    """The messages in the dead queue of `name`, which is empty afterwards.

    Each is asked for: the broker's word that a queue is empty is certain, and silence on a busy machine is not.
    """
    letters: list[Claim] = []
    async with asyncio.timeout(_EMPTY_TIMEOUT_S):
        while (letter := await queue.claim(dead_queue(name), 0.0)) is not None:
            letters.append(letter)
    for letter in letters:
        letter.acknowledge()
    return [_letter(each, name) for each in letters]


def _letter(claim: Claim, queue: str) -> DeadLetter:
    message = claim.message
    try:
        run = decode(message.body).run_id
    except JobUndecodable:
        run = ""
    reason = message.headers.get("mousetrap-reason", "")
    return DeadLetter(id=message.id, run=run, queue=dead_queue(queue), reason=reason)


async def settled_depths(
    broker: Controlled | None, broker_url: str, store_url: str, seconds: float = _EMPTY_TIMEOUT_S
) -> dict[str, int]:
    """The messages in each queue, once there are none or that time is over.

    Two looks in a row must find none: during one, a message can move from a queue not yet asked to one already asked.
    """
    deadline = time.monotonic() + seconds
    empty = 0
    while True:
        depths = await _depths(broker, broker_url, store_url)
        empty = 0 if any(depths.values()) else empty + 1
        if empty == _EMPTY_LOOKS or time.monotonic() > deadline:
            return depths
        await asyncio.sleep(_BETWEEN_LOOKS_S)


async def _depths(broker: Controlled | None, broker_url: str, store_url: str) -> dict[str, int]:
    if broker is None:
        return await _stream_depths(store_url)
    vhost = unquote(urlsplit(broker_url).path.removeprefix("/")) or "/"
    depths = await asyncio.to_thread(messages_in, broker, vhost)
    return {name: count for name, count in depths.items() if not name.endswith(".dead")}


async def settled_limits(store_url: str) -> dict[str, tuple[int, int]]:
    """How many jobs hold places of each stage with a limit, and how many wait, once there are none or that time is over."""
    if "," in store_url:
        return {}  # a cluster keeps no limits
    deadline = time.monotonic() + _LIMITS_TIMEOUT_S
    async with open_store(store_url, retention=7200.0) as store:
        while True:
            found = {place: await _limit(store, place) for place in LIMITED}
            if not any(map(any, found.values())) or time.monotonic() > deadline:
                return found
            await asyncio.sleep(_BETWEEN_LOOKS_S)


async def _limit(store: RunStore, place: str) -> tuple[int, int]:
    keys, _ = await store.limit_keys(place, "n")
    held = sum([(await store.limit_key(key)).running for key in keys])
    waiting = await store.waiting_for_limits([place])
    return held, waiting[place]


def messages_in(broker: Controlled, vhost: str = "/") -> dict[str, int]:
    """The messages in each queue of RabbitMQ, dead letters too; -1 for a queue that no node finds a leader of."""
    listed = broker.rabbitmqctl("eval", _DEPTHS.format(vhost=vhost))
    depths: dict[str, int] = {}
    for line in listed.splitlines():
        name, _, count = line.rpartition(" ")
        if name:  # each node of a cluster answers for all queues, but one that comes back may know none of a queue's replicas
            depths[name] = max(int(count), depths.get(name, -1))
    return depths


async def _stream_depths(store_url: str) -> dict[str, int]:
    async with _client(store_url) as client:
        return {
            name: await client.xlen(f"mousetrap:queue:{name}")
            + await client.zcard(f"mousetrap:queue:{name}:delayed")
            for name in QUEUES
        }


def _with_payloads(store_url: str) -> frozenset[str]:
    with console(store_url) as client:
        listed = [run.decode() for run in client.zrange(_PAYLOADS, 0, -1)]
        keys = [key.decode() for key in client.scan_iter(_PAYLOADS_KEYS, count=1000)]
    return frozenset(listed) | {found[1] for key in keys if (found := _PAYLOADS_KEY.fullmatch(key))}


def _eternal(store_url: str) -> tuple[str, ...]:
    found = []
    with console(store_url) as client:
        for key in client.scan_iter(count=1000):
            if not _STANDING.match(key.decode()) and client.ttl(key) == -1:
                found.append(key.decode())
    return tuple(sorted(found))


def _client(url: str) -> Redis:
    return Redis.from_url(administrator(url))
