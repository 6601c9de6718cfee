"""Tests runs and jobs in a real store: claims, outcomes, timelines."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from redis import Redis
from redis.exceptions import ResponseError

from mousetrap.jobs import (
    LONGEST_DELAY_S,
    Done,
    Failure,
    GiveUp,
    Job,
    RetryLater,
    StoreUnreachable,
    first_job,
)
from mousetrap.run_store import (
    Busy,
    ClaimRequest,
    Decided,
    DecisionRequest,
    Granted,
    Over,
    RunConflict,
    RunFilter,
    RunStore,
    open_store,
)
from mousetrap.run_store.keys import HINTS, job_key, packed_job_key
from mousetrap.shapes import Event, Progress, RunState
from support.ports import closed_port
from support.valkey import administrator

pytestmark = pytest.mark.usefixtures("both_families")

DAY = 86_400.0
BROKEN = Failure(kind="ValueError", text="no")
OUTPUT = Done(msgspec.Raw(b'{"sum":3}'))


def a_store(url: str, retention: float = DAY) -> AbstractAsyncContextManager[RunStore]:
    return open_store(url, retention=retention)


async def opened(store: RunStore, run_id: str = "r1") -> Job:
    """A run that was accepted, by its first job."""
    accepted = await store.open_run(run_id, "sums", "add", b"[1,2]")
    return first_job(
        run_id=run_id, pipeline="sums", stage="add", payload=b"[1,2]", accepted_ms=accepted.accepted_ms
    )


async def claimed(
    store: RunStore, job: Job, worker: str = "w1", *, redelivered: bool = False, lease: float = 60
) -> Any:
    return await store.claim(job, worker=worker, redelivered=redelivered, lease=lease)


async def test_a_run_is_found_as_soon_as_it_is_recorded(store_url: str) -> None:
    async with a_store(store_url) as store:
        await store.open_run("r1", "sums", "add", b"[1,2]")

        run = await store.get("r1")

        assert run is not None
        assert (run.state, run.stage, run.input, run.result) == (RunState.QUEUED, "add", [1, 2], None)
        assert [event.kind for event in run.timeline] == ["accepted"]
        assert await store.get("r2") is None


async def test_a_job_goes_from_claim_to_result_and_the_timeline_shows_it(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)

        claim = await claimed(store, job)
        assert (claim.fence, claim.starts) == (1, 1)
        assert await store.decide(job, OUTPUT, fence=1, worker="w1", last=False) == "recorded"
        child = job.following("double", b'{"sum":3}', fence=claim.fence)
        claim = await claimed(store, child, "w2")
        assert (claim.fence, claim.starts) == (1, 1)
        assert (
            await store.decide(child, Done(msgspec.Raw(b"6")), fence=1, worker="w2", last=True) == "recorded"
        )

        run = await store.get("r1")
        assert run is not None
        assert (run.state, run.result) == (RunState.COMPLETED, 6)
        assert [(event.kind, event.stage, event.worker) for event in run.timeline] == [
            ("accepted", "add", None),
            ("started", "add", "w1"),
            ("finished", "add", "w1"),
            ("started", "double", "w2"),
            ("finished", "double", "w2"),
            ("completed", None, None),
        ]
        assert await store.latest("sums") == run


async def test_a_held_job_is_refused_to_others_until_its_lease_ends(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await claimed(store, job, "w1", lease=60)

        second = await claimed(store, job, "w2")

        assert isinstance(second, Busy)
        assert 0 < second.seconds <= 60

        ended = await opened(store, "r2")
        await claimed(store, ended, "w1", lease=0)
        assert await claimed(store, ended, "w2") == Granted(fence=2, starts=2)


async def test_a_redelivered_job_is_taken_over_and_the_late_holder_can_decide_nothing(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await claimed(store, job, "w1")

        assert await claimed(store, job, "w2", redelivered=True) == Granted(fence=2, starts=2)

        assert not await store.renew(job, fence=1, lease=60)
        assert await store.decide(job, OUTPUT, fence=1, worker="w1", last=True) == "stale"
        assert await store.renew(job, fence=2, lease=60)
        assert await store.decide(job, OUTPUT, fence=2, worker="w2", last=True) == "recorded"


async def test_a_claim_is_lost_to_a_later_one_alone_and_not_to_its_own_decision(store_url: str) -> None:
    async with a_store(store_url) as store:
        for outcome in (OUTPUT, RetryLater(40.0, BROKEN), GiveUp("max-retries", BROKEN)):
            job = await opened(store, type(outcome).__name__)
            await claimed(store, job)
            await store.decide(job, outcome, fence=1, worker="w1", last=False)

            assert await store.renew(job, fence=1, lease=60)


async def test_what_was_decided_is_returned_again_to_every_caller_and_decided_only_once(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await claimed(store, job)
        await store.decide(job, OUTPUT, fence=1, worker="w1", last=False)

        assert (await claimed(store, job, "w2", redelivered=True)).outcome == OUTPUT
        assert (
            await store.decide(job, Done(msgspec.Raw(b"9")), fence=1, worker="w1", last=False) == "recorded"
        )
        assert (await claimed(store, job, "w2", redelivered=True)).outcome == OUTPUT


async def test_a_late_copy_of_a_job_that_is_forgotten_is_not_begun_while_its_completed_run_is_remembered(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await claimed(store, job)
        await store.decide(job, OUTPUT, fence=1, worker="w1", last=True)
        with Redis.from_url(administrator(store_url)) as client:
            assert client.delete(job_key(job.id), packed_job_key(job.run_id, job.id)) == 1

        assert await claimed(store, job, "w2", redelivered=True) == Over()


async def test_a_retry_on_record_survives_the_worker_that_ordered_it(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await claimed(store, job)
        await store.decide(job, RetryLater(40.0, BROKEN), fence=1, worker="w1", last=False)

        found = await claimed(store, job, "w2", redelivered=True)

        assert isinstance(found, Decided)
        assert isinstance(found.outcome, RetryLater)
        assert 0 < found.outcome.after <= 40.0
        assert found.outcome.failure == BROKEN
        run = await store.get("r1")
        assert run is not None
        assert run.state == RunState.RETRYING

        assert await claimed(store, job.again(), "w2") == Granted(fence=2, starts=1)
        assert await claimed(store, job, "w3") == Over()  # a copy of the first attempt, come late


async def test_a_job_given_up_fails_its_run_and_records_why(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await claimed(store, job)
        await store.decide(job, GiveUp("max-retries", BROKEN), fence=1, worker="w1", last=False)

        run = await store.get("r1")

        assert run is not None
        assert (run.state, run.failure) == (RunState.FAILED, BROKEN)
        assert [event.kind for event in run.timeline][-2:] == ["gave_up", "failed"]
        again = await claimed(store, job, "w2", redelivered=True)
        assert isinstance(again, Decided)
        assert again.outcome == GiveUp("max-retries", BROKEN)


async def test_a_handed_back_job_is_free_at_once_and_its_start_does_not_count(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await claimed(store, job, "w1")

        await store.release(job, fence=1, worker="w1")

        assert await claimed(store, job, "w2") == Granted(fence=2, starts=1)


async def test_the_same_submission_is_one_run_and_another_under_its_id_is_a_conflict(store_url: str) -> None:
    async with a_store(store_url) as store:
        first = await store.open_run("r1", "sums", "add", b"[1]")

        again = await store.open_run("r1", "sums", "add", b"[1]")
        assert again == first._replace(state="waiting", number=again.number)
        for pipeline, body in [("sums", b"[2]"), ("products", b"[1]")]:
            with pytest.raises(RunConflict):
                await store.open_run("r1", pipeline, "add", body)

        await claimed(store, await opened(store, "r2"))
        assert (await store.open_run("r2", "sums", "add", b"[1,2]")).state == "known"


async def test_a_run_that_was_not_accepted_never_starts_until_it_is_submitted_again(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        await store.reject_run("r1", BROKEN)

        assert await claimed(store, job) == Over()

        assert (await store.open_run("r1", "sums", "add", b"[1,2]")).state == "new"
        assert isinstance(await claimed(store, job), Granted)
        await store.reject_run("r1", BROKEN)  # too late: it runs
        run = await store.get("r1")
        assert run is not None
        assert run.state == RunState.RUNNING


async def test_a_store_that_lost_everything_lets_runs_go_on(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        with Redis.from_url(administrator(store_url)) as client:
            client.flushall()
            client.function_flush()

        assert isinstance(await claimed(store, job), Granted)
        assert await store.decide(job, OUTPUT, fence=1, worker="w1", last=True) == "recorded"
        run = await store.get("r1")

        assert run is not None
        assert (run.state, run.result, run.pipeline) == (RunState.COMPLETED, {"sum": 3}, "sums")


async def test_a_watcher_sees_each_event_once_and_the_progress_and_ends_with_the_run(store_url: str) -> None:
    async with a_store(store_url) as store:
        job = await opened(store)
        seen: list[str] = []
        changed = asyncio.Condition()

        async def watch() -> None:
            async for news in store.watch("r1"):
                async with changed:
                    seen.append(news.kind if isinstance(news, Event) else f"{news.done:g}/{news.total:g}")
                    changed.notify_all()

        async def until(news: str) -> None:
            async with asyncio.timeout(60), changed:
                await changed.wait_for(lambda: news in seen)

        watching = asyncio.create_task(watch())
        await until("accepted")
        await claimed(store, job)
        await until("started")
        await store.report("r1", Progress(stage="add", done=1, total=2))
        await until("1/2")
        await store.decide(job, OUTPUT, fence=1, worker="w1", last=True)
        await asyncio.wait_for(watching, 60)

        assert seen == ["accepted", "started", "1/2", "finished", "completed"]

        run = await store.get("r1")
        assert run is not None
        later = [
            news async for news in store.watch("r1", after=run.timeline[1].id) if isinstance(news, Event)
        ]
        assert [event.kind for event in later] == ["finished", "completed"]


async def test_a_page_of_what_has_no_list_looks_at_a_bounded_number_of_runs_and_the_next_goes_on(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.run_store.listing.MAX_SCANNED", 6)
    monkeypatch.setattr("mousetrap.run_store.listing._CHUNK", 3)
    wanted = RunFilter(stage="double")

    async with a_store(store_url) as store:
        for number in range(20):
            stage = "double" if number in (0, 1, 19) else "add"
            await store.open_run(f"r{number:02}", "sums", stage, b"1")

        pages, after = [], None
        while True:
            page = await store.page(wanted, limit=10, after=after)
            pages.append([run.id for run in page.runs])
            if (after := page.next) is None:
                break

        assert len(pages) == 4
        assert sorted(run for page in pages for run in page) == ["r00", "r01", "r19"]
        assert (await store.page(wanted, limit=1)).runs[0].stage == "double"


async def test_runs_are_listed_newest_first_page_by_page_and_each_once(store_url: str) -> None:
    async with a_store(store_url) as store:
        for number in range(25):
            await store.open_run(f"r{number:02}", "sums" if number % 5 else "products", "add", b"1")

        pages, after = [], None
        while True:
            page = await store.page(limit=10, after=after)
            pages.append([run.id for run in page.runs])
            if (after := page.next) is None:
                break

        assert [len(page) for page in pages] == [10, 10, 5]
        assert len({run for page in pages for run in page}) == 25
        listed = [run for page in pages for run in page]
        times = [(await store.get(run)).accepted_ms for run in listed]  # type: ignore[union-attr]
        assert times == sorted(times, reverse=True)
        only = await store.page(RunFilter(pipeline="products"), limit=10)
        assert {run.id for run in only.runs} == {"r00", "r05", "r10", "r15", "r20"}
        assert only.next is None


async def test_the_latest_result_is_that_of_the_run_accepted_last_whichever_ends_first(
    store_url: str,
) -> None:
    async with a_store(store_url) as store:
        older = await opened(store, "older")
        newer = await opened(store, "newer")
        while newer.accepted_ms == older.accepted_ms:  # the same millisecond: no order to keep
            newer = await opened(store, uuid4().hex)  # another run: one that is known keeps its time
        for job in (newer, older):
            await claimed(store, job)
            await store.decide(job, OUTPUT, fence=1, worker="w1", last=True)

        latest = await store.latest("sums")

        assert latest is not None
        assert latest.id == newer.run_id


async def test_every_key_has_a_time_to_live(store_url: str) -> None:
    async with a_store(store_url) as store:
        for end in (OUTPUT, GiveUp("max-retries", BROKEN), RetryLater(5.0, BROKEN)):
            job = await opened(store, end.__class__.__name__)
            await claimed(store, job)
            await store.report(job.run_id, Progress(stage="add", done=1))
            await store.decide(job, end, fence=1, worker="w1", last=True)
        await store.open_run("never", "sums", "add", b"1")
        await store.reject_run("never", BROKEN)
        await store.release(await opened(store, "released"), fence=1, worker="w1")

    with Redis.from_url(administrator(store_url)) as client:
        lives = {key: client.ttl(key) for key in client.scan_iter()}
    assert len(lives) > 10
    # The pipelines of delayed runs are noted for as long as one can wait.
    assert 0 < lives.pop(HINTS.encode(), 1) <= LONGEST_DELAY_S + 3 * DAY + 5
    assert {key for key, ttl in lives.items() if not 0 < ttl <= 3 * DAY + DAY // 64 + 5} == set()


async def test_a_store_that_is_away_is_reported_as_away_without_its_password() -> None:
    async with a_store(f"valkey://:sesame@127.0.0.1:{closed_port()}/0") as store:
        for question in (
            store.check(),
            store.get("r1"),
            store.open_run("r1", "sums", "add", b"1"),
            store.page(),
        ):
            with pytest.raises(StoreUnreachable, match=r"127\.0\.0\.1") as away:
                await question
            assert "sesame" not in str(away.value)


async def test_a_full_store_refuses_and_forgets_nothing(store_url: str) -> None:
    async with a_store(store_url) as store:
        await opened(store)
        with Redis.from_url(administrator(store_url)) as client:
            client.config_set("maxmemory", 1)
            try:
                with pytest.raises(StoreUnreachable):
                    await store.open_run("r2", "sums", "add", b"1")
            finally:
                client.config_set("maxmemory", 0)

        assert await store.get("r1") is not None
        assert await store.get("r2") is None


async def test_a_store_reports_whether_it_may_forget(store_url: str) -> None:
    async with a_store(store_url) as store:
        facts = await store.info()

        assert facts.server.startswith(("Valkey ", "Redis "))
        assert (facts.policy, facts.appends, facts.snapshots) == ("noeviction", True, "")
        assert facts.compares == _takes_ifeq(store_url)


async def test_one_exchange_decides_and_claims_and_keeps_each_result_apart(store_url: str) -> None:
    async with open_store(store_url, retention=600) as store:
        first, second = [await opened(store, run_id) for run_id in ("r1", "r2")]
        claim = await claimed(store, first)
        assert isinstance(claim, Granted)

        exchanged = await store.exchange(
            [
                DecisionRequest(first, OUTPUT, claim, last=True),
                DecisionRequest(first, OUTPUT, Granted(claim.fence + 1, 1), last=True),
            ],
            [ClaimRequest(second, redelivered=False, lease=60.0)],
            worker="w1",
        )

        assert exchanged.decisions == ["recorded", "stale"]
        assert isinstance(exchanged.claims[0], Granted)


def _takes_ifeq(store_url: str) -> bool:
    """Whether the server takes the command, whatever version it reports."""
    with Redis.from_url(administrator(store_url)) as client:
        try:
            client.execute_command("SET", "mousetrap:probe", "1", "IFEQ", "0", "PX", 1)
        except ResponseError:
            return False
    return True
