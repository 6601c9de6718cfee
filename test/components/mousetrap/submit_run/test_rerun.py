"""A run is repeated, whole or from a stage on."""

from dataclasses import replace
from typing import Any

import pytest

from mousetrap.pipeline import ContractBroken
from mousetrap.run_store import StoredRun, open_store
from mousetrap.shapes import RunState
from mousetrap.submit_run import Accepted, RerunImpossible, SubmitOptions
from support.workbench import KEYRING, Workbench, add, double, on_streams


async def repeated(bench: Workbench, run: StoredRun, **how: Any) -> Accepted:
    return await bench.submitter.rerun(run, run_id="again", **how)


@pytest.mark.parametrize(
    ("how", "result", "stages"),
    [
        ({}, 42, ["add", "double"]),
        ({"body": b"30"}, 62, ["add", "double"]),
        ({"begin": "double"}, 42, ["double"]),
        ({"begin": "double", "body": b"5"}, 10, ["double"]),
    ],
)
@on_streams
async def test_a_run_is_repeated_from_any_stage(
    bench: Workbench, how: dict[str, Any], result: int, stages: list[str]
) -> None:
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        first = await bench.ended(await bench.submit(b"20"))
        assert await repeated(bench, first, **how) == ("again", True)
        second = await bench.ended("again")

    assert (second.state, second.result, second.rerun_of) == (RunState.COMPLETED, result, first.id)
    assert [event.stage for event in second.timeline if event.kind == "started"] == stages
    assert (await bench.ended(first.id)).result == 42


@on_streams
async def test_a_repeat_has_the_tags_of_its_run(bench: Workbench) -> None:
    accepted = await bench.submitter.submit(
        bench.pipeline, b"20", run_id="tagged", options=SubmitOptions(tags=("nightly",))
    )
    first = await bench.store.get(accepted.run_id)
    assert first is not None

    await repeated(bench, first)

    second = await bench.store.get("again")
    assert second is not None
    assert second.tags == ("nightly",)


@on_streams
async def test_a_failed_run_is_repeated_from_the_stage_that_failed_and_so_is_its_repeat(
    bench: Workbench,
) -> None:
    def broken(number: int) -> int:
        raise ValueError(f"{number} is too much")

    async with bench.working(bench.bind("add", add), bench.bind("double", broken)):
        first = await bench.ended(await bench.submit(b"20"))
        await repeated(bench, first, begin="failed")
        second = await bench.ended("again")
    assert (second.state, second.first, second.input) == (RunState.FAILED, "double", 21)

    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        await bench.submitter.rerun(second, run_id="third", begin="failed")
        assert (await bench.ended("third")).result == 42


@pytest.mark.parametrize(
    ("begin", "why"),
    [
        ("failed", "has not failed, it is completed: name the stage to begin at"),
        ("halve", "has no stage 'halve': it has add, double"),
    ],
)
@on_streams
async def test_what_cannot_be_repeated_is_reported_with_what_can(
    bench: Workbench, begin: str, why: str
) -> None:
    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        run = await bench.ended(await bench.submit(b"20"))
    with pytest.raises(RerunImpossible, match=why):
        await repeated(bench, run, begin=begin)


@on_streams
async def test_a_stage_that_was_never_reached_has_no_input_to_repeat_with(bench: Workbench) -> None:
    run_id = await bench.submit(b"20")
    await bench.store.cancel(run_id)
    run = await bench.ended(run_id)

    with pytest.raises(RerunImpossible, match="is not kept: the run did not finish stage 'add'"):
        await repeated(bench, run, begin="double")
    with pytest.raises(ContractBroken):
        await repeated(bench, run, begin="double", body=b'"five"')


@on_streams
async def test_an_output_that_was_too_large_to_keep_is_reported_as_that(
    bench: Workbench, store_url: str
) -> None:
    async with open_store(store_url, retention=60, keep=0, keyring=KEYRING) as store:
        keeps_none = replace(bench, store=store)
        async with keeps_none.working(bench.bind("add", add), bench.bind("double", double)):
            run = await keeps_none.ended(await keeps_none.submit(b"20"))

    too_large = "an output larger than MOUSETRAP_KEEP_OUTPUT_BYTES, as that of stage 'add', is not kept"
    with pytest.raises(RerunImpossible, match=too_large):
        await repeated(bench, run, begin="double")
    assert (await repeated(bench, run, begin="double", body=b"21")).new
