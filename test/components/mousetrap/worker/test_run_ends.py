"""A worker reports the runs that end in its fan-outs, and expire."""

from typing import Any

import pytest

from mousetrap.jobs import Job
from mousetrap.pipeline import All, Each, Gathered, Many, Pipeline, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.shapes import RunState
from mousetrap.submit_run import SubmitOptions
from mousetrap.telemetry import Observer
from support.workbench import Workbench, on_streams, workbench_for

pytestmark = [on_streams, pytest.mark.own_queues]


class Ends(Observer):
    """Notes the ends that are reported."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def run_ended(self, job: Job, state: str) -> None:
        self.seen.append((job.run_id, state))


def a_fan(*joins: Stage) -> Pipeline:
    """Children that nothing joins, or a stage that needs them all."""
    once = RetryPolicy(attempts=1)
    return Pipeline(
        name="ends",
        description="Fans out.",
        stages=(
            Stage(name="find", queue="ends_find", input=int, output=Many[int]),
            Stage(name="read", queue="ends_read", input=int, output=int, after=Each("find"), retry=once),
            *joins,
        ),
    )


JOIN = Stage(name="sum", queue="ends_sum", input=Gathered[int], output=int, after=All("read"))


async def find(count: int) -> list[int]:
    return list(range(count))


async def count(numbers: Gathered[int]) -> int:
    return numbers.total


async def read(number: int) -> int:
    return 1 // (number - 3)


async def submit(bench: Workbench, body: bytes, **options: Any) -> str:
    chosen = SubmitOptions(**options)
    return (
        await bench.submitter.submit(bench.pipeline, body, run_id=f"r{body.decode()}", options=chosen)
    ).run_id


@pytest.mark.parametrize(
    ("joins", "reported"),
    [
        ((), [("r0", "completed"), ("r3", "completed"), ("r5", "completed")]),
        # The end of a run by a stage that is in no fan-out is known from its outcome.
        ((JOIN,), [("r5", "failed")]),
    ],
    ids=["nothing joins", "joined"],
)
async def test_the_end_of_a_run_by_a_child_is_reported_once(
    queue_url: str, store_url: str, joins: tuple[Stage, ...], reported: list[tuple[str, str]]
) -> None:
    ends = Ends()
    async with workbench_for(a_fan(*joins), queue_url, store_url) as bench:
        handlers: dict[str, Any] = {"find": find, "read": read, "sum": count}
        bound = [bench.bind(stage.name, handlers[stage.name]) for stage in bench.pipeline.stages]
        async with bench.working(*bound, observers=(ends,)):
            for body in (b"0", b"3", b"5"):
                await bench.ended(await submit(bench, body))

    assert ends.seen == reported


async def test_a_run_that_expires_before_a_job_of_it_began_is_reported(
    queue_url: str, store_url: str
) -> None:
    ends = Ends()
    async with workbench_for(a_fan(), queue_url, store_url) as bench:
        run = await submit(bench, b"1", expires_in=0.001)
        async with bench.working(bench.bind("find", find), bench.bind("read", read), observers=(ends,)):
            assert (await bench.ended(run)).state == RunState.EXPIRED

    assert ends.seen == [("r1", "expired")]
