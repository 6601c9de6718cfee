"""The gate before the handlers: a suspect runs alone."""

import asyncio

from mousetrap.worker.suspects import SuspectGate


async def entered(task: "asyncio.Task[None]") -> bool:
    """Whether the job has passed the gate, once everything that is ready has run."""
    for _ in range(5):
        await asyncio.sleep(0)
    return task.done()


def enter(gate: SuspectGate, *, suspect: bool = False) -> "asyncio.Task[None]":
    return asyncio.create_task(gate.enter(suspect=suspect))


async def test_jobs_pass_side_by_side() -> None:
    gate = SuspectGate()

    assert await entered(enter(gate))
    assert await entered(enter(gate))


async def test_a_suspect_waits_until_it_is_alone_and_nothing_passes_before_it_leaves() -> None:
    gate = SuspectGate()
    await gate.enter(suspect=False)
    suspect = enter(gate, suspect=True)
    later = enter(gate)

    assert not await entered(suspect)
    assert not await entered(later)
    gate.exit(suspect=False)
    assert await entered(suspect)
    assert not await entered(later)
    gate.exit(suspect=True)
    assert await entered(later)


async def test_two_suspects_run_one_after_the_other() -> None:
    gate = SuspectGate()
    first, second = enter(gate, suspect=True), enter(gate, suspect=True)

    assert (await entered(first), await entered(second)) == (True, False)
    gate.exit(suspect=True)
    assert await entered(second)


async def test_a_suspect_that_is_cancelled_while_it_waits_lets_the_others_pass() -> None:
    gate = SuspectGate()
    await gate.enter(suspect=False)
    suspect = enter(gate, suspect=True)
    later = enter(gate)
    assert not await entered(later)

    suspect.cancel()
    assert await entered(later)
