"""Stages with different serializers hand their values on, on both queues."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from mousetrap.dead_letters import DeadLetters, Selection
from mousetrap.jobs import decode
from mousetrap.pipeline import Lock, Pipeline, Stage
from mousetrap.run_store import Granted
from mousetrap.shapes import RunState
from mousetrap.submit_run import RerunImpossible
from support.serializers import BACKWARDS, Page, fetch, pass_on
from support.workbench import KEYRING, Workbench, on_streams

pytestmark = pytest.mark.own_queues


def of(bench: Workbench, *serializers: Any, **more: Any) -> Workbench:
    """The bench with a pipeline fetch -> one stage for each serializer with `more`, over the bench's own queues."""
    queues = [stage.queue for stage in bench.pipeline.stages]
    names = ["fetch", *(f"pass{number}" for number in range(len(serializers)))]
    stages = [
        Stage(
            name=name,
            queue=queue,
            input=Page if place else str,
            output=Page,
            serializer=serializer,
            retry=bench.pipeline.first.retry,
            **(more if place else {}),
        )
        for place, (name, queue, serializer) in enumerate(
            zip(names, queues, ("json", *serializers), strict=True)
        )
    ]
    pipeline = Pipeline(name=bench.pipeline.name, description="Passes pages on.", stages=tuple(stages))
    return replace(bench, pipeline=pipeline)


@asynccontextmanager
async def served(bench: Workbench, **how: Any) -> AsyncIterator[None]:
    bindings = [
        bench.bind(stage.name, fetch if stage.name == "fetch" else pass_on, **how)
        for stage in bench.pipeline.stages
    ]
    async with bench.working(*bindings):
        yield


@pytest.mark.parametrize("serializer", ["json", "msgpack", BACKWARDS])
async def test_a_value_crosses_stages_in_the_next_one_s_serializer(bench: Workbench, serializer: Any) -> None:
    bench = of(bench, serializer)

    async with served(bench):
        run = await bench.ended(await bench.submit(b'"a"'))

    assert (run.state, run.result) == (RunState.COMPLETED, {"name": "a", "body": "AP8="})


@pytest.mark.parametrize("serializer", ["msgpack", BACKWARDS])
@on_streams
async def test_isolated_handlers_hand_values_on_as_others_do(bench: Workbench, serializer: Any) -> None:
    bench = of(bench, serializer)

    async with served(bench, isolated=True):
        run = await bench.ended(await bench.submit(b'"a"'))

    assert (run.state, run.result) == (RunState.COMPLETED, {"name": "a", "body": "AP8="})


@pytest.mark.parametrize("serializer", ["msgpack", BACKWARDS])
async def test_a_first_stage_takes_the_json_of_its_submitter(bench: Workbench, serializer: Any) -> None:
    bench = of(bench, "json")
    first, last = bench.pipeline.stages
    stages = (replace(first, serializer=serializer), last)
    bench = replace(bench, pipeline=replace(bench.pipeline, stages=stages))

    async with served(bench):
        assert (await bench.ended(await bench.submit(b'"a"'))).state == RunState.COMPLETED


async def test_the_message_names_its_serializer_and_a_worker_without_it_buries_the_job_with_advice(
    bench: Workbench,
) -> None:
    bench = of(bench, BACKWARDS)
    async with bench.working(bench.bind("fetch", fetch)):
        run_id = await bench.submit(b'"a"')
        await bench.until(run_id, "finished")
    before = replace(bench.pipeline.stages[1], serializer="json")
    older = replace(bench, pipeline=replace(bench.pipeline, stages=(bench.pipeline.stages[0], before)))

    async with older.working(older.bind("pass0", pass_on)):
        run = await older.ended(run_id)

    assert run.state == RunState.FAILED
    assert run.failure is not None
    assert run.failure.kind.endswith("SerializerMissing")
    assert "Serializer('backwards', dumps, loads)), then redrive" in run.failure.text
    dead = DeadLetters(bench.queue, bench.store, KEYRING, {bench.pipeline.name: bench.pipeline})
    [letter] = (await dead.look(Selection())).letters
    assert (letter.reason, letter.job and letter.job.serializer) == ("serializer", "backwards")

    await dead.redrive(Selection(), rate=100, limit=1)
    async with served(bench):
        assert (await bench.ended(run_id)).result == {"name": "a", "body": "AP8="}


@on_streams
async def test_a_dead_letter_in_any_serializer_is_edited_with_json(bench: Workbench) -> None:
    bench = of(bench, BACKWARDS)

    def failing(page: Page) -> Page:
        raise ZeroDivisionError(page.name)

    async with bench.working(bench.bind("fetch", fetch), bench.bind("pass0", failing)):
        run_id = await bench.submit(b'"a"')
        await bench.ended(run_id)
    dead = DeadLetters(bench.queue, bench.store, KEYRING, {bench.pipeline.name: bench.pipeline})
    [letter] = (await dead.look(Selection())).letters

    await dead.redrive_edited(bench.queue_of("pass0"), letter.id, b'{"name":"b","body":""}')

    async with served(bench):
        assert (await bench.ended(run_id)).result == {"name": "b", "body": ""}


@pytest.mark.parametrize("serializer", ["msgpack", BACKWARDS])
@on_streams
async def test_a_run_is_repeated_from_a_stage_whose_input_is_not_json(
    bench: Workbench, serializer: Any
) -> None:
    bench = of(bench, serializer)
    async with served(bench):
        run = await bench.ended(await bench.submit(b'"a"'))
        await bench.submitter.rerun(run, run_id="again", begin="pass0")
        again = await bench.ended("again")

    assert again.input == again.result == {"name": "a", "body": "AP8="}

    plain = replace(bench.pipeline.stages[1], serializer="json")
    known = replace(bench, pipeline=replace(bench.pipeline, stages=(bench.pipeline.stages[0], plain)))
    if serializer == "msgpack":
        assert (await known.submitter.rerun(run, run_id="third", begin="pass0")).new
    else:
        with pytest.raises(
            RerunImpossible, match="was written with serializer 'backwards' and cannot be read here"
        ):
            await known.submitter.rerun(run, run_id="third", begin="pass0")


@pytest.mark.parametrize("serializer", ["json", "msgpack", BACKWARDS])
@on_streams
async def test_a_lock_by_a_field_is_the_same_in_every_serializer(bench: Workbench, serializer: Any) -> None:
    lock = Lock(name="pages", by="name")
    bench = of(bench, serializer, lock=lock)
    held: list[str] = []

    async def note(page: Page) -> Page:
        held.append(lock.key(msgspec.json.encode(page)))
        return page

    async with bench.working(bench.bind("fetch", fetch)):
        run_id = await bench.submit(b'"a"')
        await bench.until(run_id, "finished")
    delivery = await bench.next_of(bench.queue_of("pass0"))
    job = decode(delivery.message.body)
    delivery.hand_back()
    other = msgspec.structs.replace(job, id="other", run_id="other")
    claim = await bench.store.claim(
        other, worker="other", redelivered=False, lease=60.0, lock=lock.key(b'{"name":"a"}')
    )
    assert isinstance(claim, Granted)

    async with bench.working(bench.bind("pass0", note)):
        await bench.until(run_id, "waiting")
        await bench.store.release(other, fence=claim.fence, worker="other")
        run = await bench.ended(run_id)

    assert run.state == RunState.COMPLETED
