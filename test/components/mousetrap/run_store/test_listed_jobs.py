"""Lists the jobs of runs from a real store."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from mousetrap.jobs import Done, Failure, GiveUp, Job, RetryLater, first_job
from mousetrap.pipeline import All, Each, Gathered, Many, Pipeline, Stage
from mousetrap.run_store import (
    DecisionRequest,
    Granted,
    JobFilter,
    JobPlace,
    RunStore,
    Window,
    open_store,
)
from mousetrap.run_store import children as run_store_children
from mousetrap.run_store.keys import fan_keys_key, packed_job_key
from mousetrap.run_store.notifications import CHANGES
from mousetrap.run_store.packed.chain import first_id
from mousetrap.shapes import Fan, JobLine, JobPage, JobState, Progress
from mousetrap.signing import Keyring
from support.packed import packed_first
from support.valkey import console

NULL = msgspec.Raw(b"null")
DEAD = GiveUp("max-retries", Failure(kind="builtins.ValueError", text="no", traceback="where"))
KEYRING = Keyring({"k1": b"k" * 32})


def stage(name: str, takes: Any, gives: Any, **more: Any) -> Stage:
    return Stage(name=name, queue=f"{name}_queue", input=takes, output=gives, **more)


SUMS = Pipeline(
    name="sums",
    description="Squares and doubles each of many, and adds them up.",
    stages=(
        stage("find", int, Many[int]),
        stage("square", int, int, after=Each("find")),
        stage("double", int, int),
        stage("sum", Gathered[int], int, after=All("double", need=0.5)),
        stage("print", int, str),
    ),
)


class Both(msgspec.Struct):
    """What two branches give."""

    price: int
    stock: int


@pytest.fixture
def store_url(either_url: str) -> str:
    """The address of either kind of store in turn, with nothing in it."""
    return either_url


async def opened_run(store: RunStore, pipeline: Pipeline = SUMS) -> Job:
    """A run that was accepted, by its first job."""
    accepted = await store.open_run("r1", pipeline.name, pipeline.first.name, b"3")
    first = packed_first("r1", accepted_ms=accepted.accepted_ms)
    made = {"pipeline": pipeline.name, "stage": pipeline.first.name}
    return msgspec.structs.replace(first, **made, id=first_id("r1", pipeline.first.name))


async def claimed(store: RunStore, job: Job) -> Granted:
    claim = await store.claim(job, worker="w1", redelivered=False, lease=60.0)
    assert isinstance(claim, Granted), claim
    return claim


async def decided(store: RunStore, job: Job, outcome: Any, claim: Granted | None = None, **more: Any) -> Any:
    request = DecisionRequest(job, outcome, claim or await claimed(store, job), **{"last": False, **more})
    (reply,) = (await store.exchange([request], (), worker="w1")).decisions
    assert not isinstance(reply, Exception), reply
    return reply


async def fanned(store: RunStore, count: int, keys: Sequence[str] | None = None) -> tuple[Job, list[Job]]:
    """A run whose first job has opened so many children, and these."""
    parent = await opened_run(store)
    claim = await claimed(store, parent)
    window = Window(opened=0 if keys else count, keys=keys, need=0.5, join="{}")
    await store.open_children(parent, claim.fence, window, worker="w1")
    children = [
        parent.child(
            "square", b"%d" % index, index=index, key=keys[index] if keys else None, fence=claim.fence
        )
        for index in range(count)
    ]
    closing = Done(NULL, children=count)
    await decided(store, parent, closing, claim, next_stage="sum", need=0.5, join="{}")
    return parent, children


async def gone_on(store: RunStore, child: Job) -> Job:
    """The job that follows from a child."""
    claim = await claimed(store, child)
    await decided(store, child, Done(msgspec.Raw(b"%d" % 9)), claim, next_stage="double")
    return child.following("double", b"9", fence=claim.fence)


async def listed(store: RunStore, pipeline: Pipeline = SUMS, **wanted: Any) -> JobPage:
    run = await store.get("r1")
    assert run is not None
    return await store.jobs(run, pipeline, JobFilter(**wanted))


def briefly(lines: Sequence[JobLine]) -> list[tuple[Any, ...]]:
    return [(line.stage, *line.index, line.state.value) for line in lines]


async def all_pages(store: RunStore, pipeline: Pipeline = SUMS, **wanted: Any) -> list[JobLine]:
    lines: list[JobLine] = []
    page = await listed(store, pipeline, **wanted)
    lines += page.jobs
    while page.next:
        page = await listed(store, pipeline, place=JobPlace.read(page.next), **wanted)
        lines += page.jobs
    return lines


async def test_jobs_are_listed_by_stage_and_index_with_what_became_of_them(store_url: str) -> None:
    async with open_store(store_url, retention=3600, keyring=KEYRING) as store:
        parent, children = await fanned(store, 4)
        doubled = await gone_on(store, children[0])
        await decided(store, doubled, Done(msgspec.Raw(b"18")), next_stage="sum", joins=True)
        await decided(store, children[1], DEAD)
        await gone_on(store, children[2])

        page = await listed(store)

    assert page.next is None
    assert briefly(page.jobs) == [
        ("find", "done"),
        ("square", 0, "done"),
        ("square", 1, "failed"),
        ("square", 2, "done"),
        ("square", 3, "queued"),
        ("double", 0, "done"),
        ("double", 2, "queued"),
    ]
    find, _, failed, *_, double, _ = page.jobs
    assert find.children == Fan(
        job=parent.id, stage="find", state="closed", opened=4, total=4, done=1, lost=1, needs=2
    )
    assert (double.id, double.output, double.worker, double.attempt) == (doubled.id, 18, "w1", 1)
    assert failed.failure is not None
    assert (failed.failure.summary, failed.unreadable, failed.letter) == ("ValueError: no", "", None)


async def test_a_page_goes_on_where_the_one_before_ended(store_url: str) -> None:
    async with open_store(store_url, retention=3600, keyring=KEYRING) as store:
        _, children = await fanned(store, 5)
        await gone_on(store, children[3])

        pages = [await listed(store, limit=2)]
        while pages[-1].next:
            pages.append(await listed(store, limit=2, place=JobPlace.read(pages[-1].next)))
        whole = await listed(store)

    assert [len(page.jobs) for page in pages] == [2, 2, 2, 1]
    assert [line for page in pages for line in page.jobs] == list(whole.jobs)


async def test_children_are_found_by_state_and_stage(store_url: str) -> None:
    async with open_store(store_url, retention=3600, keyring=KEYRING) as store:
        _, children = await fanned(store, 300)
        for index in (7, 150, 299):
            await decided(store, children[index], DEAD)
        await claimed(store, children[8])
        await gone_on(store, children[9])

        failed = await all_pages(store, state=JobState.FAILED)
        running = await all_pages(store, state=JobState.RUNNING)
        queued = await all_pages(store, stage="double", state=JobState.QUEUED)
        squares = await all_pages(store, stage="square", limit=200)

    assert briefly(failed) == [("square", index, "failed") for index in (7, 150, 299)]
    assert briefly(running) == [("square", 8, "running")]
    assert briefly(queued) == [("double", 9, "queued")]
    assert [line.index for line in squares] == [(index,) for index in range(300)]


async def test_one_call_reads_a_bounded_number_and_names_where_it_ended(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.run_store.listed_jobs._MOST_READ", 100)
    async with open_store(store_url, retention=3600, keyring=KEYRING) as store:
        _, children = await fanned(store, 450)
        await claimed(store, children[449])

        first = await listed(store, state=JobState.RUNNING)
        found = await all_pages(store, state=JobState.RUNNING)

    assert (first.jobs, first.next) == ((), "square:100")
    assert briefly(found) == [("square", 449, "running")]


async def test_a_wide_fan_without_a_match_is_read_by_parts_too(
    single_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.run_store.listed_jobs._MOST_READ", 100)
    async with open_store(single_url, retention=3600, keyring=KEYRING) as store:
        _, children = await fanned(store, 20_000)
        await decided(store, children[15_000], DEAD)

        first = await listed(store, stage="square", state=JobState.FAILED)
        found = await all_pages(store, stage="square", state=JobState.FAILED)

    assert (first.jobs, first.next) == ((), "square:12288")
    assert briefly(found) == [("square", 15_000, "failed")]


async def test_keys_of_the_wanted_are_looked_for_together(
    single_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan reads all keys of the fan, whatever is asked for."""
    scans = Counter[int]()
    keys_of = run_store_children._keys_of

    async def counted(client: Any, fan: Any, indexes: Sequence[int]) -> Any:
        scans[len(indexes)] += 1
        return await keys_of(client, fan, indexes)

    monkeypatch.setattr(run_store_children, "_keys_of", counted)
    monkeypatch.setattr(run_store_children, "_SLOTS", 16)
    keys = [f"paper {index}" for index in range(64)]
    async with open_store(single_url, retention=3600, keyring=KEYRING) as store:
        _, children = await fanned(store, 64, keys)
        for index in (3, 20, 60):
            await decided(store, children[index], DEAD)
        failed = await all_pages(store, stage="square", state=JobState.FAILED)

    assert [line.key for line in failed] == ["paper 3", "paper 20", "paper 60"]
    assert scans == {3: 1}


async def test_children_with_keys_have_them(store_url: str) -> None:
    keys = [f"paper {index}" for index in range(30)]
    async with open_store(store_url, retention=3600, keyring=KEYRING) as store:
        _, children = await fanned(store, 30, keys)
        await claimed(store, children[7])
        lines = await all_pages(store, stage="square", limit=20)

    assert [line.key for line in lines] == keys
    assert [line.id for line in lines] == [child.id for child in children]
    assert briefly(lines)[7] == ("square", 7, "running")


async def test_a_job_whose_key_is_damaged_is_shown_without_it(store_url: str) -> None:
    keys = ["a", "b", "c"]
    async with open_store(store_url, retention=3600, keyring=KEYRING) as store:
        parent, _ = await fanned(store, 3, keys)
        with console(store_url) as client:
            client.hset(fan_keys_key("r1", parent.id), "b", "x")
        page = await listed(store, stage="square")

    assert [(line.key, *line.index) for line in page.jobs] == [("a", 0), (None, 1), ("c", 2)]


async def test_jobs_of_a_cancelled_run_are_over(store_url: str) -> None:
    async with open_store(store_url, retention=3600, keyring=KEYRING) as store:
        _, children = await fanned(store, 2)
        await claimed(store, children[0])
        await store.cancel("r1")
        page = await listed(store)

    assert briefly(page.jobs) == [("find", "done"), ("square", 0, "over"), ("square", 1, "over")]


NESTED = Pipeline(
    name="nested",
    description="Finds books, their pages, and two things of each page.",
    stages=(
        stage("books", int, Many[int]),
        stage("pages", int, Many[int], after=Each("books")),
        stage("look", int, int, after=Each("pages")),
        stage("price", int, int, after="look"),
        stage("stock", int, int, after="look"),
        stage("meet", Both, int, after=All("price", "stock")),
        stage("page_sum", Gathered[int], int, after=All("meet")),
        stage("sum", Gathered[int], int, after=All("page_sum")),
    ),
)


async def closed_fan(
    store: RunStore, job: Job, count: int, child: str, join: str, need: float = 1.0
) -> list[Job]:
    """The children of a job that has opened so many and is done."""
    claim = await claimed(store, job)
    await store.open_children(job, claim.fence, Window(count, join="{}", need=need), worker="w1")
    closing: dict[str, Any] = {"next_stage": join, "join": "{}", "need": need}
    await decided(store, job, Done(NULL, children=count), claim, **closing)
    return [job.child(child, b"1", index=it, fence=claim.fence) for it in range(count)]


async def test_fans_in_fans_and_forks_are_listed_by_their_indexes(store_url: str) -> None:
    async with open_store(store_url, retention=3600, keyring=KEYRING) as store:
        books = await closed_fan(store, await opened_run(store, NESTED), 2, "pages", "sum")
        pages = await closed_fan(store, books[1], 3, "look", "page_sum")
        claim = await claimed(store, pages[2])
        await decided(
            store, pages[2], Done(NULL, forks=("price", "stock")), claim, next_stage="meet", join="{}"
        )
        stock = pages[2].child("stock", b"1", index=1, fence=claim.fence)
        await decided(store, stock, Done(msgspec.Raw(b"5")), next_stage="meet", joins=True)

        lines = (await listed(store, NESTED)).jobs
        small = await all_pages(store, NESTED, limit=1)

    assert briefly(lines) == [
        ("books", "done"),
        ("pages", 0, "queued"),
        ("pages", 1, "done"),
        ("look", 1, 0, "queued"),
        ("look", 1, 1, "queued"),
        ("look", 1, 2, "done"),
        ("price", 1, 2, 0, "queued"),
        ("stock", 1, 2, 1, "done"),
    ]
    assert lines[-1].output == 5
    assert small == list(lines)


async def test_what_a_join_has_gone_on_without_is_over(store_url: str) -> None:
    async with open_store(store_url, retention=3600, keyring=KEYRING) as store:
        books = await closed_fan(store, await opened_run(store, NESTED), 2, "pages", "sum", need=1)
        pages = await closed_fan(store, books[1], 3, "look", "page_sum")
        await claimed(store, pages[1])
        await decided(store, pages[0], DEAD)
        before = (await listed(store, NESTED, stage="look")).jobs
        await decided(store, books[0], Done(NULL), next_stage="sum", joins=True)

        after = (await listed(store, NESTED, stage="look")).jobs

    assert [line.state for line in before] == ["failed", "running", "queued"]
    assert [line.state for line in after] == ["failed", "running", "over"]


async def test_a_chain_is_listed_with_its_outputs_and_what_waits(single_url: str, both_families: int) -> None:
    chain = Pipeline(
        name="chain",
        description="Adds, and prints.",
        stages=(stage("add", int, int), stage("print", int, str)),
    )
    async with open_store(single_url, retention=3600, keyring=KEYRING) as store:
        accepted = await store.open_run("r1", "chain", "add", b"3")
        opening = await store.opening("r1")
        assert opening is not None
        assert accepted.state == "new"
        if both_families == 5:
            assert briefly((await listed(store, chain)).jobs) == [("add", "queued")]
        job = opening.first_job("r1")
        claim = await claimed(store, job)
        assert briefly((await listed(store, chain)).jobs) == [("add", "running")]
        await store.decide(
            job, Done(msgspec.Raw(b"4")), fence=claim.fence, worker="w1", last=False, next_stage="print"
        )
        lines = (await listed(store, chain)).jobs

    assert lines[0].id == job.id
    assert briefly(lines)[0] == ("add", "done")
    if both_families == 5:
        assert (lines[0].output, briefly(lines)[1]) == (4, ("print", "queued"))


async def test_the_result_of_a_run_which_is_not_signed_is_the_output_of_its_last_job(single_url: str) -> None:
    chain = Pipeline(name="chain", description="Adds.", stages=(stage("add", int, int),))
    async with open_store(single_url, retention=3600, keyring=KEYRING) as store:
        job = await opened_run(store, chain)
        await decided(store, job, Done(msgspec.Raw(b"4")), last=True)
        (line,) = (await listed(store, chain)).jobs

    assert (line.state, line.output, line.unreadable) == (JobState.DONE, 4, "")


async def test_what_is_no_record_of_ours_is_unreadable_and_hides_no_other(single_url: str) -> None:
    async with open_store(single_url, retention=3600, keyring=KEYRING) as store:
        _, children = await fanned(store, 3)
        for child in children[:2]:
            await claimed(store, child)
        with console(single_url) as client:
            client.set(packed_job_key("r1", children[0].id), b"nonsense")
            client.delete(packed_job_key("r1", children[1].id))
            client.lpush(packed_job_key("r1", children[1].id), b"a list")
        lines = (await listed(store, stage="square")).jobs

    assert briefly(lines) == [
        ("square", 0, "unreadable"),
        ("square", 1, "unreadable"),
        ("square", 2, "queued"),
    ]
    assert "no record of a job" in lines[0].unreadable


async def test_an_output_that_another_key_signed_is_not_shown(single_url: str) -> None:
    async with open_store(single_url, retention=3600, keyring=Keyring({"k2": b"x" * 32})) as store:
        _, children = await fanned(store, 1)
        await gone_on(store, children[0])
    async with open_store(single_url, retention=3600, keyring=KEYRING) as store:
        (line,) = (await listed(store, stage="square")).jobs

    assert (line.state, line.output) == (JobState.DONE, None)
    assert line.unreadable


async def test_a_watcher_sees_children_decided_that_notify_of_nothing(single_url: str) -> None:
    async with open_store(single_url, retention=3600, keyring=KEYRING) as store:
        _, children = await fanned(store, 3)
        seen = []
        with console(single_url) as client, client.pubsub() as listening:
            listening.subscribe(CHANGES)
            async for each in store.watch("r1"):
                if not isinstance(each, Progress):
                    continue
                seen.append((each.stage, each.done, each.total, each.lost))
                if each.done == 0:
                    doubled = await gone_on(store, children[0])
                    await decided(store, doubled, Done(msgspec.Raw(b"18")), next_stage="sum", joins=True)
                elif each.done == 1:
                    break
            notified = [
                it for it in iter(lambda: listening.get_message(timeout=0), None) if it["type"] == "message"
            ]

    assert seen == [("find", 0, 3, 0), ("find", 1, 3, 0)]
    assert notified == []


@pytest.mark.usefixtures("both_families")
async def test_each_job_has_its_attempts(single_url: str) -> None:
    async with open_store(single_url, retention=3600) as store:
        opened = await store.open_run("r1", "sums", "find", b"[1]")
        job = first_job(
            run_id="r1", pipeline="sums", stage="find", payload=b"[1]", accepted_ms=opened.accepted_ms
        )
        broken = Failure(kind="ValueError", text="no")
        for outcome in (RetryLater(0.0, broken), None, GiveUp("max-retries", broken)):
            claim: Any = await store.claim(job, worker="w1", redelivered=True, lease=60.0)
            if outcome is None:
                await store.release(job, fence=claim.fence, worker="w1")
            else:
                await store.decide(job, outcome, fence=claim.fence, worker="w1", last=True)
            job = job.again() if isinstance(outcome, RetryLater) else job

        (line,) = (await listed(store)).jobs

        assert [
            (it.number, it.worker, it.outcome, it.failure and it.failure.text) for it in line.attempts
        ] == [
            (1, "w1", "retrying", "no"),
            (2, "w1", "handed back", None),
            (2, "w1", "failed", "no"),
        ]
        assert all((it.began_ms or 0) <= (it.ended_ms or 0) for it in line.attempts)
