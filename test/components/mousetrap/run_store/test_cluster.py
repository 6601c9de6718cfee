"""Tests what differs where the store is a cluster."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from mousetrap.jobs import Done, Failure, Job, MousetrapError, StoreUnreachable, first_job
from mousetrap.payloads import StoreBackend
from mousetrap.run_store import (
    ClaimRequest,
    Decided,
    DecisionRequest,
    Granted,
    Over,
    RunStore,
    Terms,
    Window,
    open_store,
)
from mousetrap.run_store.keys import (
    OPENED,
    OPENED_DELAYED,
    hint_key,
    packed_events_key,
    packed_job_key,
    packed_progress_key,
    packed_run_key,
)
from mousetrap.shapes import Beat, Reference, RunState
from mousetrap.store_client import Command, open_client
from mousetrap.store_client import packed as packed_words
from mousetrap.worker_registry import Published, open_registry
from support.packed import packed_first
from support.valkey import console
from support.valkey_cluster import Node, ValkeyCluster

OUTPUT = Done(msgspec.Raw(b'{"sum":3}'))
RESULT = Done(msgspec.Raw(b"6"))


@pytest.fixture(autouse=True)
def new_runs_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 5)


@asynccontextmanager
async def a_store(cluster: ValkeyCluster) -> AsyncIterator[RunStore]:
    async with open_store(cluster.url, retention=3600) as store:
        yield store


def run_on(cluster: ValkeyCluster, node: Node, wanted: bool, but: str = "") -> str:
    """The id of a run that the server has, or has not; another one than `but`."""
    run_ids = (f"r{number}" for number in range(100) if f"r{number}" != but)
    return next(
        run_id for run_id in run_ids if (cluster.primary_of(packed_run_key(run_id)) is node) == wanted
    )


async def persistently(call: Any, *args: Any, **options: Any) -> Any:
    """The reply, once the store has one: as workers and submitters ask again."""
    while True:
        try:
            return await call(*args, **options)
        except StoreUnreachable:
            await asyncio.sleep(0.01)


async def go_through(store: RunStore, run_id: str, steps: Sequence[asyncio.Event]) -> None:
    """A run of two stages from its opening to its end; the last step is set once it has its first claim."""
    opened = await persistently(store.open_run, run_id, "sums", "add", b"[1,2]")
    job: Job = packed_first(run_id, accepted_ms=opened.accepted_ms)
    claim = await persistently(store.claim, job, worker="w1", redelivered=True, lease=60.0)
    for step in steps:
        step.set()
    options = {"worker": "w1", "last": False, "next_stage": "double"}
    await persistently(store.decide, job, OUTPUT, fence=claim.fence, **options)
    child = job.following("double", b'{"sum":3}', fence=claim.fence)
    claim = await persistently(store.claim, child, worker="w1", redelivered=True, lease=60.0)
    if isinstance(claim, Granted):
        await persistently(store.decide, child, RESULT, fence=claim.fence, worker="w1", last=True)


async def test_no_run_stands_still_when_a_primary_dies_under_load(valkey_cluster: ValkeyCluster) -> None:
    run_ids = [f"r{number}" for number in range(60)]
    begun = [asyncio.Event() for _ in run_ids]
    async with a_store(valkey_cluster) as store:
        going = [
            asyncio.create_task(go_through(store, run_id, [event]))
            for run_id, event in zip(run_ids, begun, strict=True)
        ]
        await asyncio.gather(*(event.wait() for event in begun[:20]))
        primary = valkey_cluster.primary_of(packed_run_key("r0"))
        await asyncio.to_thread(primary.kill)
        await asyncio.to_thread(valkey_cluster.promote_replica_of, primary)
        await asyncio.gather(*going)

        for run_id in run_ids:
            run = await persistently(store.get, run_id)
            assert run is not None
            assert run.state is RunState.COMPLETED, run


async def test_a_run_is_named_before_it_is_recorded(
    valkey_cluster: ValkeyCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server of the names is away, that of the run is not: a run that is recorded then would never be published."""
    names = valkey_cluster.primary_of(OPENED)
    elsewhere = run_on(valkey_cluster, names, False)
    async with a_store(valkey_cluster) as store:
        await store.open_run("known", "sums", "add", b"1")
        valkey_cluster.replica_of(names)
        names.kill()
        with pytest.raises(StoreUnreachable):
            await store.open_run(elsewhere, "sums", "add", b"1")
        with console(valkey_cluster.url) as client:
            assert client.exists(packed_run_key(elsewhere)) == 0

        valkey_cluster.promote_replica_of(names)
        await persistently(store.open_run, elsewhere, "sums", "add", b"1")
        abandoned = await persistently(store.unpublished, age=0.0)
        assert elsewhere in abandoned.run_ids
        assert abandoned.now_ms > 0


async def test_a_run_that_is_opened_after_its_rejection_is_found_though_its_submitter_died_just_then(
    valkey_cluster: ValkeyCluster,
) -> None:
    """The message of its first submission is claimed meanwhile, and takes its name away."""
    run_id = run_on(valkey_cluster, valkey_cluster.primary_of(OPENED), False)
    async with a_store(valkey_cluster) as store, a_store(valkey_cluster) as dying:
        first = await store.open_run(run_id, "sums", "add", b"[1,2]")
        await store.reject_run(run_id, Failure(kind="ValueError", text="no"), first)
        send = dying._client.pipeline

        async def pipeline(commands: Sequence[Command]) -> list[Any]:
            opening = [each for each in commands if b"open_run" in b"".join(packed_words([each]))]
            if not opening:
                return await send(commands)
            claim = await store.claim(
                packed_first(run_id, accepted_ms=first.accepted_ms),
                worker="w1",
                redelivered=False,
                lease=60.0,
            )
            assert claim == Over()
            await send(opening)  # what goes to other servers does not leave any more
            raise ConnectionError("it is dead")

        dying._client.pipeline = pipeline  # type: ignore[method-assign]
        with pytest.raises(StoreUnreachable):
            await dying.open_run(run_id, "sums", "add", b"[1,2]")

        assert list((await store.unpublished(age=0.0)).run_ids) == [run_id]


async def test_a_claim_of_a_rejected_run_is_refused_only_once_the_run_is_named_again(
    valkey_cluster: ValkeyCluster,
) -> None:
    names = valkey_cluster.primary_of(OPENED)
    run_id = run_on(valkey_cluster, names, False)
    async with a_store(valkey_cluster) as store:
        first = await store.open_run(run_id, "sums", "add", b"[1,2]")
        await store.reject_run(run_id, Failure(kind="ValueError", text="no"), first)
        request = ClaimRequest(
            packed_first(run_id, accepted_ms=first.accepted_ms), redelivered=False, lease=60.0
        )
        valkey_cluster.replica_of(names)
        names.kill()
        (claim,) = (await store.exchange((), [request], worker="w1")).claims
        assert isinstance(claim, StoreUnreachable)

        valkey_cluster.promote_replica_of(names)
        assert (
            await persistently(store.claim, request.job, worker="w1", redelivered=False, lease=60.0) == Over()
        )


async def test_a_delayed_run_stays_named_until_its_record_has_that_it_is_published(
    valkey_cluster: ValkeyCluster,
) -> None:
    names = valkey_cluster.primary_of(OPENED_DELAYED)
    near, far = run_on(valkey_cluster, names, True), run_on(valkey_cluster, names, False)
    primary = valkey_cluster.primary_of(packed_run_key(far))
    later = Terms(delay_s=60.0)
    async with a_store(valkey_cluster) as store:
        for run_id in (near, far):
            await store.open_run(run_id, "sums", "add", b"1", terms=later)
        valkey_cluster.replica_of(primary)
        primary.kill()
        store.mark_published(far)
        assert (await store.unpublished(age=0.0)).run_ids == [near]  # whether the other is live is not known

        valkey_cluster.promote_replica_of(primary)
        assert (await persistently(store.get, far)).state is RunState.QUEUED
        assert set((await store.unpublished(age=0.0)).run_ids) == {near, far}
        store.mark_published(far)
        assert (await store.unpublished(age=0.0)).run_ids == [near]
        assert (await store.open_run(far, "sums", "add", b"1", terms=later)).state == "known"


async def test_a_list_that_was_overwritten_keeps_no_run_from_being_recorded(
    valkey_cluster: ValkeyCluster,
) -> None:
    async with a_store(valkey_cluster) as store:
        opened = await store.open_run("r1", "sums", "add", b"1")
        with console(valkey_cluster.url) as client:
            for day in (opened.accepted_ms // 86_400_000, opened.accepted_ms // 86_400_000 + 1):
                client.set(hint_key("runs:sums", day), "of another type")

        assert (await store.open_run("r2", "sums", "add", b"1")).state == "new"


async def test_a_run_whose_server_is_away_is_neither_forgotten_nor_unknown(
    valkey_cluster: ValkeyCluster,
) -> None:
    names = valkey_cluster.primary_of(OPENED)
    near, far = run_on(valkey_cluster, names, True), run_on(valkey_cluster, names, False)
    primary = valkey_cluster.primary_of(packed_run_key(far))
    async with a_store(valkey_cluster) as store:
        for run_id in (near, far):
            await store.open_run(run_id, "sums", "add", b"1")
        valkey_cluster.replica_of(primary)
        primary.kill()

        assert (await store.unpublished(age=0.0)).run_ids == [near]
        assert await store.ended([near, far]) == set()
        with pytest.raises(StoreUnreachable):
            await store.wait_ended(far, 5.0)
        with pytest.raises(StoreUnreachable):
            await store.get(far)
        with pytest.raises(StoreUnreachable):
            await store.check()

        valkey_cluster.promote_replica_of(primary)
        assert (await persistently(store.get, far)).state is RunState.QUEUED
        assert set((await store.unpublished(age=0.0)).run_ids) == {near, far}


async def test_runs_whose_servers_are_all_away_are_found_when_they_are_there_again(
    valkey_cluster: ValkeyCluster,
) -> None:
    far = run_on(valkey_cluster, valkey_cluster.primary_of(OPENED), False)
    primary = valkey_cluster.primary_of(packed_run_key(far))
    async with a_store(valkey_cluster) as store:
        await store.open_run(far, "sums", "add", b"1")
        valkey_cluster.replica_of(primary)
        primary.kill()
        assert (await store.unpublished(age=0.0)).run_ids == []

        valkey_cluster.promote_replica_of(primary)
        assert (await persistently(store.get, far)).state is RunState.QUEUED
        assert (await store.unpublished(age=0.0)).run_ids == [far]


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_the_fullest_of_its_servers_shows_how_full_a_cluster_is(
    valkey_cluster: ValkeyCluster, which: int
) -> None:
    full = valkey_cluster.primaries()[which]
    async with a_store(valkey_cluster) as store:
        try:
            for node in valkey_cluster.primaries():
                node.ask("CONFIG", "SET", "maxmemory", 1 << (30 if node is full else 40))
            full.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
            info = await store.info()
        finally:
            for node in valkey_cluster.primaries():
                node.ask("CONFIG", "SET", "maxmemory", 0)
            full.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")

    assert (info.cluster, info.max_bytes, info.policy) == (3, 1 << 30, "allkeys-lru")


async def test_what_a_cluster_does_not_keep_is_refused_by_name(valkey_cluster: ValkeyCluster) -> None:
    async with a_store(valkey_cluster) as store:
        opened = await store.open_run("r2", "sums", "add", b"1")
        with pytest.raises(MousetrapError, match=r"same slot|non local key"):
            await store.claim(
                packed_first("r2", b"1", accepted_ms=opened.accepted_ms),
                worker="w1",
                redelivered=False,
                lease=60.0,
                lock="one",
            )
        older = first_job(run_id="r3", pipeline="sums", stage="add", payload=b"1", accepted_ms=0, v=2)
        with pytest.raises(StoreUnreachable, match="before wire format 5"):
            await store.claim(older, worker="w1", redelivered=False, lease=60.0)


async def test_no_new_run_of_an_older_format_is_recorded(
    valkey_cluster: ValkeyCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 2)
    async with a_store(valkey_cluster) as store:
        with pytest.raises(StoreUnreachable, match="before wire format 5"):
            await store.open_run("r1", "sums", "add", b"1")


async def test_of_runs_before_wire_format_5_there_are_none(valkey_cluster: ValkeyCluster) -> None:
    async with a_store(valkey_cluster) as store:
        await store.check()
        assert await store.get("r1") is None
        assert await store.cancel("r1") is None
        assert await store.ended(["r1"]) == set()
        assert await store.wait_ended("r1", 5.0) is None
        store.mark_published("r1")
        await store.reject_run("r1", Failure(kind="a", text="b"))


async def test_payloads_are_put_read_and_swept(valkey_cluster: ValkeyCluster) -> None:
    client = open_client(valkey_cluster.url, None)
    now = [1000.0]
    backend = StoreBackend(client, "h:1", 3600.0, lambda: now[0])
    reference = Reference(key="r1/input", sha256="0" * 64, size=3)
    await backend.write(reference, b"abc")
    assert await backend.read(reference) == b"abc"
    assert (await backend.runs(1001.0, "")).run_ids == ["r1"]

    now[0] = 2000.0
    await backend.write(reference, b"abc")
    await backend.delete_run("r1", 1500.0)
    assert await backend.read(reference) == b"abc"
    assert (await backend.runs(2001.0, "")).run_ids == ["r1"]

    await backend.delete_run("r1", 2001.0)
    assert await backend.read(reference) is None
    assert (await backend.runs(2001.0, "")).run_ids == []
    await client.close()


def a_beat(name: str) -> Beat:
    return Beat(
        name=name,
        host="h",
        pid=1,
        version="1",
        stages=("sums.add",),
        queues=("add",),
        concurrency=1,
        state="serving",
        done=0,
        failed=0,
        running=0,
        doing=(),
    )


async def test_workers_are_listed(valkey_cluster: ValkeyCluster) -> None:
    async with open_registry(valkey_cluster.url) as registry:
        await registry.beat(a_beat("w1"))
        assert [worker.name for worker in await registry.workers()] == ["w1"]
        await registry.leave("w1")
        assert await registry.workers() == ()


async def test_a_worker_whose_server_is_away_is_not_left_out(valkey_cluster: ValkeyCluster) -> None:
    names = valkey_cluster.primary_of("mousetrap:workers")
    manifests = valkey_cluster.primary_of("mousetrap:manifests")
    primary = next(node for node in valkey_cluster.primaries() if node not in (names, manifests))
    far = next(
        name
        for name in (f"w{number}" for number in range(100))
        if valkey_cluster.primary_of(f"mousetrap:worker:{name}") is primary
    )
    async with open_registry(valkey_cluster.url, published=Published("digest", b"record")) as registry:
        await registry.beat(a_beat(far))
        assert [found.workers for found in await registry.in_use()] == [(far,)]
        valkey_cluster.replica_of(primary)
        primary.kill()
        for look in (registry.workers, registry.in_use):
            with pytest.raises(StoreUnreachable):
                await look()
    valkey_cluster.promote_replica_of(primary)


async def test_a_job_that_is_done_is_not_granted_again_while_its_slot_moves(
    valkey_cluster: ValkeyCluster,
) -> None:
    """Keys move one by one: the run's record has arrived at the next server, and its job's has not."""
    moves = packed_run_key("r1")
    beside = run_on(valkey_cluster, valkey_cluster.primary_of(moves), True, but="r1")
    async with a_store(valkey_cluster) as store:
        jobs = []
        for run_id in ("r1", beside):
            opened = await store.open_run(run_id, "sums", "add", b"1")
            jobs.append(packed_first(run_id, b"1", accepted_ms=opened.accepted_ms))
        claim = await store.claim(jobs[0], worker="w1", redelivered=False, lease=60.0)
        assert isinstance(claim, Granted)
        await store.decide(jobs[0], OUTPUT, fence=claim.fence, worker="w1", last=False, next_stage="double")
        with valkey_cluster.moving(moves) as move:
            move(moves)
            again = [ClaimRequest(job, redelivered=True, lease=60.0) for job in jobs]
            waits, granted = (await store.exchange((), again, worker="w2")).claims

            assert isinstance(waits, StoreUnreachable), waits
            assert isinstance(granted, Granted), granted


async def test_a_job_with_children_is_not_taken_for_one_without_while_its_slot_moves(
    valkey_cluster: ValkeyCluster,
) -> None:
    """Its fan has not arrived at the next server: its message is not to be dropped, as it is once the children are joined."""
    async with a_store(valkey_cluster) as store:
        opened = await store.open_run("r1", "sums", "add", b"1")
        parent = packed_first("r1", b"1", accepted_ms=opened.accepted_ms)
        claim = await store.claim(parent, worker="w1", redelivered=False, lease=60.0)
        assert isinstance(claim, Granted)
        await store.open_children(parent, claim.fence, Window(2, join="{}"), worker="w1")
        closing = DecisionRequest(
            parent, Done(msgspec.Raw(b"null"), children=2), claim, False, "sum", join="{}"
        )
        assert (await store.exchange([closing], (), worker="w1")).decisions == ["recorded"]
        again = ClaimRequest(parent, redelivered=True, lease=60.0, opens=True)
        (there,) = (await store.exchange((), [again], worker="w2")).claims
        with valkey_cluster.moving(packed_run_key("r1")) as move:
            for key in (packed_run_key, packed_events_key, packed_progress_key):
                move(key("r1"))
            move(packed_job_key("r1", parent.id))
            (moving,) = (await store.exchange((), [again], worker="w2")).claims

    assert isinstance(moving, StoreUnreachable), moving
    assert isinstance(there, Decided), there
    assert there.waits_s is not None


async def test_an_end_that_no_server_passes_on_is_found(
    valkey_cluster: ValkeyCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a server that is cut off from the others: it keeps its subscribers and passes on nothing."""
    monkeypatch.setattr("mousetrap.store_client.cluster._SUBSCRIBED_S", 0.5)
    async with a_store(valkey_cluster) as store:
        await store.open_run("r1", "sums", "add", b"1")
        looked, look = asyncio.Event(), store._packed_runs.look

        async def noted(run_id: str) -> str:
            state = await look(run_id)
            looked.set()
            return state

        monkeypatch.setattr(store._packed_runs, "look", noted)
        waiting = asyncio.create_task(store.wait_ended("r1", 30.0))
        await looked.wait()
        with console(valkey_cluster.url) as client:
            client.setrange(packed_run_key("r1"), 0, "X")

        run = await waiting
        assert run is not None
        assert run.state is RunState.CANCELLED
